"""The point of a convex hull that is nearest to the origin."""

from __future__ import annotations

import numpy as np

from polytask.maths.cone import nnls
from polytask.maths.gramian import Array


def min_norm(cosines: Array, norms: Array) -> Array:
    """Weights on the simplex of the shortest convex combination of n vectors.

    ``argmin_w w'Gw,   w >= 0, sum w = 1,   G = D C D``

    With ``s = D w`` and ``q = min(norms) / norms``, the minimiser of ``s'Cs + (q's - 1)^2`` over ``s >= 0`` is a
    multiple of ``D w``: both have the optimality conditions ``Gw >= m`` with equality where ``w > 0``. So one problem
    over non-negative numbers answers, whatever the ratio of the lengths.

    :param cosines: C ``(n, n)``, positive semidefinite, ones on the diagonal.
    :param norms: ``(n,)``, above 0.
    """
    q = norms.min() / norms
    w = nnls(cosines + q * q[:, None], -q) * q
    return np.asarray(w / w.sum())


def min_norm_residual(cosines: Array, norms: Array, w: Array) -> float:
    """How far ``w`` is from the optimality conditions of :func:`min_norm`, in cosines.

    ``max_i |min(w_i |g_i| / W, (g_i.d - |d|^2) / (|g_i| W))|``, with ``d = sum_t w_t g_t`` and
    ``W = sum_t w_t |g_t|``, the size that d would have without cancellation.
    """
    s = w * norms / (w @ norms)
    pull = cosines @ s
    gap = pull - (s @ pull) * (w @ norms) / norms
    return float(np.abs(np.minimum(s, gap)).max())
