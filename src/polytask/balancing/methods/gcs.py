"""Gating by the cosine of gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing import roles
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper


@dataclass(frozen=True)
class GCS(Weigher):
    """Lets an auxiliary task act on the shared parameters only as far as its gradient agrees with the main task's.

    ``d = g_main + sum_k max(0, cos(g_main, g_k)) g_k`` over the auxiliary tasks k, or with ``weighted=False``
    ``d = g_main + sum_k [cos(g_main, g_k) >= 0] g_k``

    g_main is the sum over the main tasks; every other task is auxiliary. The cosine with a gradient of zero is 0: so
    if no main task is in the batch, auxiliary tasks have no say when weighted, and their full say when not. The scale
    is that of a sum. Training converges to a stationary point of the main tasks.

    :param main: names of the main tasks.
    :param weighted: by the cosine, or by its sign alone.

    Du, Czarnecki, Jayakumar, Farajtabar, Pascanu, Lakshminarayanan. arXiv 2018.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Du, Czarnecki, Jayakumar, Farajtabar, Pascanu, Lakshminarayanan",
        "Adapting Auxiliary Losses Using Gradient Similarity",
        "arXiv",
        2018,
    )
    verified = "worked examples"
    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE})

    main: tuple[str, ...]
    weighted: bool = True

    def __post_init__(self) -> None:
        roles.check_main(self.main)

    def mentions(self) -> frozenset[str]:
        """The main tasks."""
        return frozenset(self.main)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """Which tasks are main ones."""
        return {"main": roles.is_main(self.main, tasks, like)}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """1 for main tasks, the gate for the others."""
        G, main = evidence.products.double(), state["main"]
        lengths = G.diagonal().clamp_min(0).sqrt()
        unit = torch.where(lengths > 0, 1 / lengths, 0.0)
        m = main.double()
        size = (m @ G @ m).clamp_min(0).sqrt()
        cosines = torch.where(size > 0, (m @ G) * unit / size, 0.0)
        gate = cosines.clamp(0, 1) if self.weighted else (cosines >= 0).double()
        return torch.where(main, 1.0, gate).to(evidence.losses), state
