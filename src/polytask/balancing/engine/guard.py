"""The walk reads what torch does not promise to keep. It is checked against autograd, and given up when they differ."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from polytask.balancing.engine.gathered import Gathered
from polytask.balancing.engine.sequential import plain_others, weighted_sinks
from polytask.balancing.engine.survey import Survey

LOG = logging.getLogger(__name__)

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
COARSE = 0.1
"""Relative error that is forgiven, by type of the sinks; ``COARSE`` for half precision."""


class Guard:
    """Decides whether the walk may be trusted.

    In steps 1, 2, 4, 8, ... the Gramian is held against one ordinary backward pass with random weights p, by
    ``p^T G p = |J^T p|^2``, and the plain gradients of the heads against autograd's. In every step ``w^T G w`` is
    held against the update. Hooks on tensors inside the trunk, which the walk does not run, are found this way, and
    so is a rule that no longer fits a newer torch.
    """

    def __init__(self) -> None:
        self.is_trusted = True
        self._steps = 0
        self._rng = torch.Generator().manual_seed(0)

    def give_up(self, reason: str) -> None:
        """Use ordinary backward passes from now on."""
        self.is_trusted = False
        LOG.warning("Task gradients now come from one backward pass per task, which is slower: %s", reason)

    def passes(self, gathered: Gathered, survey: Survey) -> bool:
        """Whether the evidence is right, if it is time to ask."""
        self._steps += 1
        if self._steps & (self._steps - 1):
            return True
        like = survey.sinks[0]
        p = torch.randn(len(survey.losses), generator=self._rng, dtype=torch.float64).to(like.device)
        update = weighted_sinks(survey, p, gathered.factor, keep_graph=True)
        if not self._agrees(gathered, p, update):
            self.give_up("the batched pass and autograd do not agree on the shared gradients (a hook on a tensor?).")
            return False
        expected = {id(leaf): g for leaf, g in plain_others(survey, gathered.factor)}
        room = _tolerance(survey.sinks)
        for leaf, found in gathered.others:
            right = expected.get(id(leaf))
            if right is not None and not torch.allclose(found, right, rtol=room, atol=room * float(right.abs().max())):
                self.give_up("the batched pass and autograd do not agree on a head (a hook on a tensor?).")
                return False
        return True

    def accepts(self, gathered: Gathered, weights: Tensor, update: Sequence[Tensor | None]) -> bool:
        """Whether ``|J^T w|^2 = w^T G w``."""
        if self._agrees(gathered, weights.double(), update):
            return True
        self.give_up("the update does not have the length that the Gramian says.")
        return False

    def _agrees(self, gathered: Gathered, weights: Tensor, update: Sequence[Tensor | None]) -> bool:
        G = gathered.gramian
        if not bool(G.isfinite().all()):
            return True
        parts = [torch.linalg.vector_norm(part, dtype=_wide(part)).double() for part in update if part is not None]
        length = torch.stack(parts).norm() / gathered.factor if parts else G.new_zeros(())
        most = weights.abs() @ G.diagonal().clamp_min(0).sqrt()  # what the length would be without cancellation
        expected = weights @ G @ weights
        return bool((expected - length**2).abs() <= _tolerance(gathered.sinks) * most**2)


def _wide(part: Tensor) -> torch.dtype:
    return torch.float64 if part.dtype == torch.float64 else torch.float32


def _tolerance(sinks: Sequence[Tensor]) -> float:
    return max(TOLERANCES.get(sink.dtype, COARSE) for sink in sinks)
