"""Aligned multi-task learning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Generator, Tensor

from polytask.balancing import preference as wishes
from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, read, weights_of
from polytask.balancing.preference import Preference
from polytask.catalogue import Paper
from polytask.maths.gramian import Array, Gramian, roots


@dataclass(frozen=True)
class AlignedMTL(Weigher):
    """Replaces the task gradients by the nearest orthogonal ones of equal length, and takes their mean.

    ``w = sqrt(lambda) G^{-1/2} p;   lambda: the smallest eigenvalue of G (or the median, or the mean)``

    The aligned gradients ``sqrt(lambda) G^{-1/2} J`` are orthogonal, each of length sqrt(lambda). The weights are on
    the scale of a mean; the authors' code takes p = 1, which is T times as long. Where gradients are linearly
    dependent, the inverse is taken on their span (eigenvalues that are rounding are left out). A task with zero
    gradient gets the weight 0 and keeps its part of p.

    :param scale: which eigenvalue the common length comes from: ``"min"``, ``"median"`` (the lower one), or ``"rmse"``
        (their mean).
    :param preference: p, by task; the present tasks' are scaled to sum to 1.

    Senushkin, Patakin, Kuznetsov, Konushin. CVPR 2023.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Senushkin, Patakin, Kuznetsov, Konushin",
        "Independent Component Alignment for Multi-Task Learning",
        "CVPR",
        2023,
    )
    verified = "torchjd; worked examples; orthogonality"
    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE})

    scale: Literal["min", "median", "rmse"] = "min"
    preference: Preference = None

    def __post_init__(self) -> None:
        wishes.check(self.preference)

    def mentions(self) -> frozenset[str]:
        """The tasks that have a preference."""
        return frozenset(self.preference or ())

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The preferences of ``tasks``."""
        return wishes.begin(self.preference, tasks, like)

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``sqrt(lambda) G^{-1/2} p``, from the singular values of a root of G."""

        def solve(gramian: Gramian) -> Array:
            p = wishes.shares(state, len(gramian.alive))[gramian.alive]
            values, vectors = roots(gramian.cosines, gramian.precision)
            root = gramian.norms[:, None] * vectors * np.sqrt(values)  # G = root root'; its squares would lose digits
            left, sigma, _ = np.linalg.svd(root, full_matrices=False)
            along = left.T @ p
            along[np.abs(along) < 1e-14 * p.sum()] = 0.0  # opposite gradients cancel; what is left is rounding
            return np.asarray(self._length(sigma) * (left / sigma) @ along)

        return weights_of(evidence, solve, zero=0.0, none=0.0), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The relative error of ``|d|^2 = lambda |p|^2``, p being its part in the span of the gradients."""
        gramian = read(evidence)
        if gramian is None or not gramian.alive.any():
            return math.nan
        p = wishes.shares(state, len(gramian.alive))[gramian.alive]
        values, vectors = roots(gramian.cosines, gramian.precision)
        left, sigma, _ = np.linalg.svd(gramian.norms[:, None] * vectors * np.sqrt(values), full_matrices=False)
        expected = float((self._length(sigma) * (left.T @ p) ** 2 * self._length(sigma)).sum())
        s = numbers(weights)[gramian.alive] * gramian.norms
        return abs(float(s @ gramian.cosines @ s) / expected - 1) if expected > 0 and s.any() else math.nan

    def _length(self, sigma: Array) -> float:
        if self.scale == "rmse":
            return float(np.sqrt((sigma * sigma).mean()))
        return float(sigma[-1] if self.scale == "min" else sigma[len(sigma) // 2])  # descending: the lower median
