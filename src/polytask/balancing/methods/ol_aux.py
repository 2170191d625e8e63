"""Online learning of auxiliary weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing import learned, roles
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError


@dataclass(frozen=True)
class OLAUX(Weigher):
    """Raises the weight of an auxiliary task while its gradient helps the main task, and lowers it while it hurts.

    ``total = log L_main + sum_k v_k log L_k,   every n steps:  v_k <- v_k + lr sum_{n steps} h_main . h_k``

    with h = g / L, the gradients of the log-losses: no unit of a loss matters. One step down h_k changes log L_main by
    minus its learning rate times ``h_main . h_k``; ``lr`` is that learning rate times the one of v. With several main
    tasks their terms are summed; every other task is auxiliary. Only steps with a main task in the batch count. v
    starts at 1 and may become negative, unless ``non_negative``. The scale is that of a sum.

    No code of the authors is public; re-implementations agree on the logarithms and on n = 5, and differ in the rest.

    :param main: names of the main tasks.
    :param n: steps between changes of the weights, counted by task.
    :param lr: step size of the weights.
    :param non_negative: whether weights are kept at 0 or more.

    Lin, Baweja, Kantor, Held. NeurIPS 2019.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Lin, Baweja, Kantor, Held", "Adaptive Auxiliary Task Weighting for Reinforcement Learning", "NeurIPS", 2019
    )
    verified = "worked example"
    laws = frozenset({Law.EQUIVARIANT, Law.TASK_SCALE_FREE})
    domain = "positive"

    main: tuple[str, ...]
    n: int = 5
    lr: float = 0.001
    non_negative: bool = False

    def __post_init__(self) -> None:
        roles.check_main(self.main)
        learned.check_lr(self.lr)
        if self.n < 1:
            raise ConfigError(f"expected 1 step or more, found {self.n}.", where="n")

    def mentions(self) -> frozenset[str]:
        """The main tasks."""
        return frozenset(self.main)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """Which tasks are main ones, v, and the inner products of the last steps with their number."""
        zero = torch.zeros(len(tasks), dtype=like.dtype, device=like.device)
        return {"main": roles.is_main(self.main, tasks, like), "v": zero + 1, "sum": zero, "steps": zero.clone()}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """v over L, v changed beforehand if the task has n steps together."""
        main, losses = state["main"], evidence.losses
        unit = 1 / losses.clamp_min(torch.finfo(losses.dtype).tiny)
        H = evidence.products.double() * unit * unit[:, None].double()
        total = state["sum"] + (main.double() @ H).to(losses)
        steps = state["steps"] + main.any()
        due = ~main & (steps >= self.n)
        v = torch.where(due, state["v"] + self.lr * total, state["v"])
        v = v.clamp_min(0) if self.non_negative else v
        after = {"main": main, "v": v, "sum": torch.where(due, 0.0, total), "steps": torch.where(due, 0.0, steps)}
        return v * unit, after
