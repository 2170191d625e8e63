"""Impartial multi-task learning, the part that balances gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, read, weights_of
from polytask.catalogue import Paper
from polytask.maths.gramian import Array, Gramian, roots


@dataclass(frozen=True)
class IMTLG(Weigher):
    """Takes the direction that has the same projection on every task's unit gradient.

    ``u_t . d = u_s . d for all t, s;   |sum_t w_t| = 1;   w = v / |sum v|,   G v = n,   n_t = |g_t|``

    Rescaling a task's loss leaves the direction alone, not the length. Weights may be negative. In the paper they sum
    to 1; where that would turn the direction uphill for every task (``sum v < 0``, which published code follows), they
    sum to -1 here.

    Where no direction has equal projections (opposite gradients, more tasks than parameters), it is the least-squares
    solution in unit gradients; the weights are 0 if that is zero. A task with zero gradient gets the weight 0.

    Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang. ICLR 2021.
    """

    needs = Need.GRAMIAN
    paper = Paper("Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang", "Towards Impartial Multi-task Learning", "ICLR", 2021)
    verified = "its equal projections; torchjd; worked examples"
    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE, Law.DIRECTION_SCALE_FREE, Law.EQUAL_PROJECTION})

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """``v / |sum v|``."""

        def solve(gramian: Gramian) -> Array:
            return of_sum_one(equal_projection(gramian) / gramian.norms)

        return weights_of(evidence, solve, zero=0.0, none=0.0), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The spread of the projections on the unit gradients over their largest."""
        return spread_of_projections(evidence, weights)


def spread_of_projections(evidence: Evidence, weights: Tensor) -> float:
    """How far the projections of the update on the unit gradients are apart, over its longest part; NaN if it is 0."""
    gramian = read(evidence)
    if gramian is None or not gramian.alive.any():
        return math.nan
    s = numbers(weights)[gramian.alive] * gramian.norms
    return float(np.ptp(gramian.cosines @ s / np.abs(s).max())) if s.any() else math.nan


def equal_projection(gramian: Gramian) -> Array:
    """The shortest v with ``C v = 1`` in the sense of least squares, C being the cosines."""
    values, vectors = roots(gramian.cosines, gramian.precision)
    return np.asarray((vectors / values) @ vectors.sum(0))


def of_sum_one(v: Array) -> Array:
    """``v / |sum v|``; zeros if the sum is nothing but rounding."""
    total = abs(float(v.sum()))
    return v / total if total > 1e-12 * np.abs(v).sum() else np.zeros_like(v)
