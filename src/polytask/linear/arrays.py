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


def is_sparse(x: Any) -> bool:
    """Whether ``x`` is a sparse matrix or array of scipy; its type stays open."""
    return bool(sp.issparse(x))
