"""The direction within a ball that serves the worst-off vector best."""

from __future__ import annotations

import math

import numpy as np

from polytask.maths.cone import nnls
from polytask.maths.gramian import Array

ROUNDS = 60
CLOSE = 1e-12
EPS = float(np.finfo(np.float64).eps)


def length_of(cosines: Array, parts: Array, precision: float) -> float:
    """Length of a sum of unit vectors; 0 if it is nothing but rounding."""
    square = float(parts @ cosines @ parts)
    return math.sqrt(square) if square > len(parts) * precision * float(np.abs(parts).sum()) ** 2 else 0.0


def best_worst_gain(cosines: Array, norms: Array, centre: Array, radius: float, precision: float = EPS) -> Array:
    """What to add to a centre so that ``min_i g_i . d`` is as large as it can be within a ball.

    ``d = argmax min_i g_i . d  over  |d - d0| <= radius |d0|;   d0 = sum_i centre_i u_i;   d = d0 + sum_i z_i u_i``

    For a gain m, the nearest ``d`` to the centre with ``g_i . d >= m`` for all i is a problem over non-negative numbers
    z. Its distance grows with m, and while the same z are positive, its square is a quadratic in m. So the m whose
    distance is the radius is found by solving that quadratic, and once more with those z that are positive then.

    If 0 is in the convex hull of the g_i and the ball is large enough, gain 0 is the best, for many d: the nearest to
    the centre is taken.

    :param cosines: ``(n, n)`` of unit vectors u_i, positive semidefinite, ones on the diagonal.
    :param norms: ``(n,)``: lengths of ``g_i``, above 0.
    :param centre: ``(n,)``: d0 in terms of the u_i; it need not be among their convex combinations.
    :param radius: in units of the length of d0, above 0.
    :param precision: relative rounding error of the cosines.
    :returns: z ``(n,)``, 0 or more.
    """
    length = length_of(cosines, centre, precision)
    if length == 0:
        return np.zeros(len(norms))  # a ball of radius 0
    pull = cosines @ (centre / length)  # u_i . d0, in units of |d0|
    q = norms.min() / norms
    low, high = float((pull / q).min()), float((pull / q + radius / q).min())  # gains in units of |d0| min |g_i|
    gain, solved = high, False
    z = reached = np.zeros(len(norms))
    for _ in range(ROUNDS):
        inside = z > 0
        z = nnls(cosines, pull - gain * q, inside)
        distance = length_of(cosines, z, EPS)
        if distance == 0 and z.any():  # parts without bound that cancel: no direction has this gain
            distance = math.inf
        settled = solved and bool(((z > 0) == inside).all())
        if settled or abs(distance - radius) <= CLOSE * radius:
            return z * length
        if distance < radius:
            low, reached = gain, z
        else:
            high = gain
        gain = _gain_at(radius, cosines, pull, q, z > 0)
        solved = low < gain < high
        if not solved:
            gain = (low + high) / 2
    return reached * length  # no larger gain can be had, at any distance


def worst_gain_residual(cosines: Array, norms: Array, centre: Array, radius: float, z: Array) -> float:
    """How far z is from the optimality conditions of :func:`best_worst_gain`, in units of the centre's length.

    With m the gain of those that are added: ``z_i = 0`` or ``g_i . d = m``, no gain is below m, and the distance from
    the centre is the radius. NaN if the centre is 0.
    """
    length = length_of(cosines, centre, EPS)
    if length == 0 or not z.any():
        return math.nan
    pull = cosines @ (centre + z)
    above = pull - (z @ pull) / (z @ (1 / norms)) / norms
    distance = math.sqrt(max(float(z @ cosines @ z), 0.0))
    return max(float(np.abs(np.minimum(z, above)).max()), abs(distance - radius * length)) / length


def _gain_at(radius: float, C: Array, pull: Array, q: Array, inside: np.ndarray) -> float:
    """The larger m with ``(m q - pull)' inv(C) (m q - pull) = radius^2``, all restricted to ``inside``; else NaN."""
    if not inside.any():
        return math.nan
    system = C[np.ix_(inside, inside)] + 1e-12 * np.eye(int(inside.sum()))
    by_q, by_pull = np.linalg.solve(system, np.stack([q[inside], pull[inside]], axis=1)).T
    a, b = float(by_q @ q[inside]), float(by_q @ pull[inside])
    rest = b * b - a * (float(by_pull @ pull[inside]) - radius * radius)
    return (b + math.sqrt(rest)) / a if rest >= 0 and a > 0 else math.nan
