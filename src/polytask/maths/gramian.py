"""A Gramian split into the lengths of its vectors and the cosines between them.

``G = D C D`` with ``D = diag(norms)``. The rounding error of an inner product is relative to the two lengths, so the
cosines keep all their digits however far the lengths are apart, and a solver that works on C with lengths on the side
does not see the scale of a loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Gramian:
    """Inner products of T vectors; vectors of length zero are set aside.

    :param cosines: C ``(n, n)``, symmetric, ones on the diagonal, of the n vectors that are not zero.
    :param norms: ``(n,)``, their lengths.
    :param alive: ``(T,)``, True for these n vectors.
    :param precision: the relative rounding error of the numbers that the Gramian was read from.
    """

    cosines: Array
    norms: Array
    alive: Mask
    precision: float = float(np.finfo(np.float64).eps)

    @classmethod
    def split(cls, gramian: Array, precision: float = float(np.finfo(np.float64).eps)) -> Gramian:
        """Lengths and cosines of a finite Gramian ``(T, T)``."""
        squares = gramian.diagonal()
        alive = squares > 0
        if not alive.all():
            gramian, squares = gramian[np.ix_(alive, alive)], squares[alive]
        norms = np.sqrt(squares)
        cosines = gramian / norms / norms[:, None]  # one after the other: a product of lengths may overflow
        cosines = np.clip(0.5 * (cosines + cosines.T), -1.0, 1.0)
        np.fill_diagonal(cosines, 1.0)
        return cls(cosines, norms, alive, precision)

    def spread(self, values: Array, fill: float) -> Array:
        """``(T,)``: a value per vector of positive length, and ``fill`` for the others."""
        full = np.full(len(self.alive), fill)
        full[self.alive] = values
        return full


def nearest_psd(cosines: Array) -> Array:
    """The matrix without its negative eigenvalues (which inner products taken in float32 may have)."""
    try:
        np.linalg.cholesky(cosines)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(cosines)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(root @ root.T)
    return cosines


def roots(cosines: Array, precision: float) -> tuple[Array, Array]:
    """Eigenvalues above the rounding error ``n * precision * largest``, ascending, and their eigenvectors.

    :returns: ``(r,)`` and ``(n, r)``, r being the numerical rank.
    """
    values, vectors = np.linalg.eigh(cosines)
    kept = values > len(values) * precision * values[-1]
    return values[kept], vectors[:, kept]
