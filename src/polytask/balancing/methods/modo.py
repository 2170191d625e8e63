"""Multi-objective gradient with double sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.projection import onto_simplex


@dataclass(frozen=True)
class MoDo(Weigher):
    """Follows, step by step, weights that tend to the smallest combined gradient, without the bias of noise.

    ``w <- project(w - gamma (J1 J2^T w + rho w))``

    with the projection onto the simplex and gradients from two independent batches: ``J1 J1^T`` would count the noise
    of one batch as if it were gradient. The inner products are taken from ``Evidence.cross``; without it from the
    Gramian of the one batch, the limit of large batches. The weights after the step are those of the update (on the
    mean of both batches), so they sum to 1 and its scale is that of a mean.

    ``gamma`` is in units of one over a squared gradient: large gradients make w jump from corner to corner.

    :param gamma: step size of w.
    :param rho: pull of w towards equal weights.

    Chen, Fernando, Ying, Chen. NeurIPS 2023.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Chen, Fernando, Ying, Chen",
        "Three-Way Trade-Off in Multi-Objective Learning: Optimization, Generalization and Conflict-Avoidance",
        "NeurIPS",
        2023,
    )
    verified = "worked example; torchjd; its limit mgda"
    laws = frozenset({Law.SIMPLEX, Law.EQUIVARIANT})
    n_batches = 2

    gamma: float = 0.1
    rho: float = 0.1

    def __post_init__(self) -> None:
        for field, value in (("gamma", self.gamma), ("rho", self.rho)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"expected a number of 0 or more, found {value}.", where=field)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The weights, equal at first."""
        return {"w": like.new_full((len(tasks),), 1 / len(tasks))}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """One projected step; the weights of the present tasks are brought to sum 1 before it."""
        A = (evidence.products if evidence.cross is None else evidence.cross).double()
        w = onto_simplex(state["w"].double())
        w = onto_simplex(w - self.gamma * (A @ w + self.rho * w)).to(evidence.losses)
        return w, {"w": w}
