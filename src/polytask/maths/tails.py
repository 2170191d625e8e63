"""Tails of a Student t plus a normal: the law of a difference with a seed part and a test-row part.

The sum ``sqrt(Vs) T_nu + sqrt(Vr) Z`` (T and Z independent) has no closed form, but with ``t = sqrt(nu) tan(theta)``

    p(x) = 2 int c cos(theta)^(nu-1) Phi(-(x - sqrt(Vs) t) / sqrt(Vr)) dtheta,
    c = Gamma((nu+1)/2) / (Gamma(nu/2) sqrt(pi)),

is one integral over (-pi/2, pi/2). Its integrand steps at ``tan(theta) = x / sqrt(Vs nu)``, the more sharply the
smaller Vr is. So the interval is cut there and the Gauss-Legendre nodes crowd towards the cut with the cube of
their distance: both limits, Vr = 0 (Student t) and Vs = 0 (normal), come out of the same formula.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_CHUNK = 1 << 20  # numbers per temporary array


def _unit_nodes(n: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights of ``int_0^1 f(u^3) d(u^3)``."""
    x, w = np.polynomial.legendre.leggauss(n)
    u = (x + 1) / 2
    return u**3, 1.5 * u**2 * w


_NODES, _WEIGHTS = _unit_nodes(200)  # made once: 0.3 s a call otherwise


def two_sided_p(x: ArrayLike, Vs: ArrayLike, Vr: ArrayLike, nu: ArrayLike) -> Array:
    """``P(|sqrt(Vs) T_nu + sqrt(Vr) Z| >= |x|)``, elementwise over broadcast arguments.

    :param x: difference, in the units of ``sqrt(Vs)``.
    :param Vs: seed variance, at least 0. :param Vr: test-row variance, at least 0.
    :param nu: degrees of freedom of the seed variance, above 0.
    :returns: probabilities of the broadcast shape; where both variances are 0, 1 at ``x = 0`` and 0 elsewhere.

    >>> float(two_sided_p(1.0, 0.2, 0.05, 4).round(6))
    0.105729
    """
    arrays = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (np.abs(x), Vs, Vr, nu)))
    flat = [a.ravel() for a in arrays]
    out = np.empty(flat[0].size)
    step = max(1, _CHUNK // (2 * len(_NODES)))
    for start in range(0, len(out), step):
        part = slice(start, start + step)
        out[part] = _mixed_p(*(a[part] for a in flat))
    return out.reshape(arrays[0].shape)


def quantile(p: ArrayLike, Vs: ArrayLike, Vr: ArrayLike, nu: ArrayLike) -> Array:
    """The ``q >= 0`` with ``two_sided_p(q, Vs, Vr, nu) = p``, by bisection to the last digits.

    :param p: two-sided level in (0, 1]. The others as in :func:`two_sided_p`.
    :returns: half widths of intervals, in the units of ``sqrt(Vs)``; 0 where both variances are 0.

    >>> float(quantile(0.05, 1.0, 0.0, 4).round(4))  # Student t
    2.7764
    """
    p, Vs, Vr, nu = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (p, Vs, Vr, nu)))
    high = 2 * np.sqrt(Vs + Vr)
    while np.any(grow := two_sided_p(high, Vs, Vr, nu) > np.where(high > 0, p, np.inf)):
        high = np.where(grow, 2 * high, high)
    low = np.zeros_like(high)
    for _ in range(52):
        middle = (low + high) / 2
        above = two_sided_p(middle, Vs, Vr, nu) > p
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray((low + high) / 2)


def _mixed_p(x: Array, Vs: Array, Vr: Array, nu: Array) -> Array:
    """:func:`two_sided_p` of flat arrays ``(m,)``, ``x >= 0``."""
    spread = np.sqrt(Vs * nu)
    end = np.minimum(math.pi / 2, 12 / np.sqrt(nu))  # beyond it the density is below exp(-72)
    cut = np.minimum(np.arctan2(x, spread), end)
    log_c = _log_constant(nu) - 0.5 * math.log(math.pi)
    total = np.zeros_like(x)
    for length in (end - cut, -(end + cut)):
        theta = cut[:, None] + length[:, None] * _NODES
        cosine = np.maximum(np.cos(theta), 1e-300)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = (x[:, None] - spread[:, None] * np.tan(theta)) / np.sqrt(2 * Vr)[:, None]
        density = np.exp(log_c[:, None] + (nu[:, None] - 1) * np.log(cosine))
        total += np.abs(length) * np.sum(_WEIGHTS * density * _erfc(z), 1)
    return np.where(Vs + Vr > 0, np.minimum(total, 1.0), x == 0)


def _log_constant(nu: Array) -> Array:
    """``log Gamma((nu+1)/2) - log Gamma(nu/2)``."""
    values, back = np.unique(nu, return_inverse=True)
    return np.array([math.lgamma((v + 1) / 2) - math.lgamma(v / 2) for v in values.tolist()])[back]


def _erfc(z: Array) -> Array:
    """The complementary error function, elementwise (numpy has none); NaN, from 0 / 0 at the cut, counts as 0."""
    flat = np.nan_to_num(z, nan=0.0, posinf=np.inf, neginf=-np.inf).ravel()
    return np.fromiter(map(math.erfc, flat.tolist()), np.float64, flat.size).reshape(z.shape)
