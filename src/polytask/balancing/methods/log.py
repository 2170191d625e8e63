"""Scale-invariant losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher


@dataclass(frozen=True)
class Log(Weigher):
    """Minimises the sum of the log-losses, so that the units of a loss do not matter.

    ``total = sum_t log L_t,   w_t = 1 / L_t``

    The weighted losses are all 1; a loss below the smallest normal float counts as that. It is what ``uncertainty``
    and ``imtl_l`` tend to when their s is always at its optimum, and the scale-invariant baseline of Nash-MTL.

    Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik, Fetaya. ICML 2022 (as a baseline).
    """

    needs = Need.LOSSES
    verified = "worked example; autograd of the sum of logs"
    laws = frozenset({Law.POSITIVE, Law.EQUIVARIANT, Law.TASK_SCALE_FREE})
    domain = "positive"

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``1 / L``."""
        losses = evidence.losses
        return 1 / losses.clamp_min(torch.finfo(losses.dtype).tiny), state
