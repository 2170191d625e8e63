"""Conflict-free inverse gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import weights_of
from polytask.balancing.methods.imtl_g import spread_of_projections
from polytask.catalogue import Paper
from polytask.maths.gramian import Array, Gramian, roots


@dataclass(frozen=True)
class ConFIG(Weigher):
    """Goes where all tasks have the same cosine, as far as the gradients go together.

    ``d = (sum_t g_t.u) u,   u = unit(pinv(U) 1),   rows of U: g_t / |g_t|``

    Since ``pinv(U) = U^T pinv(U U^T)``, the update is a weighted sum of gradients whose weights depend on the Gramian
    alone, which is much cheaper than the least squares on the Jacobian of the published code:
    ``w_t = s v_t / |g_t|`` with ``v = pinv(C) 1``, C the cosines and ``s = sum_t |g_t| (C v)_t / v^T C v``.

    The scale is that of a sum. With independent gradients no task's loss rises to first order; weights may be
    negative. A gradient of zero gets the weight 0 (no direction helps or hurts that task), and if no direction is
    right for the tasks together (two opposite gradients) the update is zero.

    Liu, Chu, Thuerey. ICLR 2025.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Liu, Chu, Thuerey", "ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks", "ICLR", 2025
    )
    verified = "worked examples; pseudo-inverse of the Jacobian; torchjd"
    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE, Law.DIRECTION_SCALE_FREE, Law.EQUAL_PROJECTION})

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The least-norm solution by eigenvalues, in float64."""
        return weights_of(evidence, equal_cosines, zero=0.0, none=0.0), state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """The spread of the projections on the unit gradients, as in ``imtl_g``."""
        return spread_of_projections(evidence, weights)


def equal_cosines(gramian: Gramian) -> Array:
    """Weights ``(n,)`` of the update whose cosines with all vectors are equal, in the least-squares sense."""
    C, n = gramian.cosines, gramian.norms
    values, Q = roots(C, gramian.precision)
    v = Q @ (Q.sum(0) / values)
    length = v @ C @ v  # 1 / cosine^2 with every task: 1 or more unless the gradients are dependent
    if length < TOO_SHORT:
        v = 0 * v
    return np.asarray(v / n * (n @ C @ v / max(length, TOO_SHORT)))


TOO_SHORT = 1e-10
"""Below this the squared length of pinv(U) 1 is rounding: the tasks cancel."""
