"""Stochastic direction-oriented multi-objective gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import weights_of
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.gramian import Array, Gramian, nearest_psd
from polytask.maths.projection import onto_simplex
from polytask.maths.simplex import min_norm

STEPS, MOMENTUM = 20, 0.5
"""Of the inner iteration, as published."""


@dataclass(frozen=True)
class SDMGrad(Weigher):
    """Takes the shortest combination of gradients that keeps a part of the mean gradient.

    ``weights = (w + lam / T) / (1 + lam),   w = argmin |J^T (w + lam / T)|^2 over w >= 0, sum w = 1``

    ``lam=0`` is MGDA, a large one the mean gradient. The weights sum to 1: the scale is that of a mean (published
    trainers multiply by T).

    Solved exactly on the Gramian of one batch, the limit of large batches. With the inner products ``J1 J2^T`` of two
    independent batches (``Evidence.cross``) it runs the published iteration, 20 steps of projected gradient descent
    with momentum 0.5 from the last w, on ``J1 J2^T`` divided by its squared mean length of a gradient; the update
    should then use a third batch. A gradient of zero has only its part of the mean.

    :param lam: the part of the mean gradient.
    :param lr: step size of the iteration.

    Xiao, Ban, Ji. NeurIPS 2023.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Xiao, Ban, Ji",
        "Direction-oriented Multi-objective Learning: Simple and Provable Stochastic Algorithms",
        "NeurIPS",
        2023,
    )
    verified = "worked examples; optimality conditions; torchjd"
    laws = frozenset({Law.SIMPLEX, Law.EQUIVARIANT, Law.SCALE_FREE})
    n_batches = 3

    lam: float = 0.3
    lr: float = 10.0

    def __post_init__(self) -> None:
        for field, value in (("lam", self.lam), ("lr", self.lr)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"expected a number of 0 or more, found {value}.", where=field)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """w, equal at first."""
        return {"w": like.new_full((len(tasks),), 1 / len(tasks))}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The exact w, or the iteration's."""
        part = self.lam / len(evidence.losses)
        if evidence.cross is not None:
            w = self._iterate(evidence.cross.double(), onto_simplex(state["w"].double()), part).to(evidence.losses)
        else:
            w = weights_of(evidence, lambda gramian: shortest(gramian, part), zero=0.0, none=1 / len(evidence.losses))
        return (w + part) / w.add(part).sum(), {"w": w}

    def _iterate(self, A: Tensor, w: Tensor, part: float) -> Tensor:
        size = A.diagonal().clamp_min(0).sqrt().mean().square()
        A = A / size.clamp_min(torch.finfo(A.dtype).tiny)
        velocity = torch.zeros_like(w)
        for _ in range(STEPS):
            velocity = MOMENTUM * velocity + A @ (w + part)
            w = onto_simplex(w - self.lr * velocity)
        return w


def shortest(gramian: Gramian, part: float) -> Array:
    """``argmin |sum_t (w_t + part) g_t|^2`` on the simplex: MGDA on the gradients ``g_t + part sum_s g_s``."""
    C, n = gramian.cosines, gramian.norms / gramian.norms.max()
    M = np.eye(len(n)) + part
    moved = Gramian.split(M.T @ (n[:, None] * C * n) @ M, gramian.precision)
    if moved.alive.all():
        return min_norm(nearest_psd(moved.cosines), moved.norms)
    return moved.spread(np.zeros(len(moved.norms)), 1 / float((~moved.alive).sum()))  # the shortest is zero
