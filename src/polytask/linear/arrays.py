"""The types of the room. Letters: N rows, T tasks, d features, B blocks; weights are ``W`` (T, d), one row per task."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.intp]


def norm(x: Array) -> float:
    """The Frobenius norm of an array of any shape."""
    return float(np.sqrt(np.vdot(x, x)))


def inner(x: Array, y: Array) -> float:
    """The sum of the products of the entries."""
    return float(np.vdot(x, y))


def column_inner(x: Array, y: Array) -> Array:
    """The inner products of the columns of two matrices."""
    return np.asarray(np.einsum("tj,tj->j", x, y))


def column_norms(x: Array) -> Array:
    """The norms of the columns."""
    return np.asarray(np.sqrt(np.einsum("tj,tj->j", x, x)))


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix or array of scipy; its type stays open."""
    return bool(sp.issparse(x))
