"""What a relaxation with an inner matrix ``M`` learned about tasks or features, read off the weights."""

from __future__ import annotations

import numpy as np

from polytask.errors import ConfigError
from polytask.linear.arrays import Array
from polytask.linear.coupling import Coupling
from polytask.linear.penalties import ClusterNorm
from polytask.linear.problem import Regulariser
from polytask.linear.prox import waterfill


def relaxation(strength: float, ridge: float, rank: int) -> Regulariser:
    """``c tr(W' (eta I + M)^-1 W)`` with ``eta = ridge / strength`` and ``c = strength eta (1 + eta)``.

    :raises ConfigError: a strength without a ridge, where the relaxation has no curvature.
    """
    if strength == 0:
        return Regulariser(coupling=Coupling(ridge=ridge))
    if ridge == 0:
        raise ConfigError("expected a positive number: the relaxation needs some ridge.", where="ridge")
    eta = ridge / strength
    return Regulariser((ClusterNorm(strength * eta * (1 + eta), eta, float(rank)),))


def whole_number(value: int | None, most: int, where: str) -> int:
    """``value`` in 1..most, or about the root of ``most`` for None.

    :raises ConfigError: out of range.
    """
    if value is None:
        return max(1, round(float(np.sqrt(most))))
    if isinstance(value, bool) or int(value) != value or not 1 <= value <= most:
        raise ConfigError(f"expected a whole number from 1 to {most}, found {value!r}.", where=where)
    return int(value)


def inner_matrix(vectors: Array, s: Array, *, eta: float, rank: int) -> Array:
    """The best ``M`` (0 <= M <= I, trace ``rank``) for singular vectors in columns; spare trace goes to the rest."""
    m = waterfill(s, rank, eta)
    size, spare = len(vectors), rank - float(m.sum())
    M = np.asarray((vectors * m) @ vectors.T)
    left = size - int((m > 0).sum())
    if spare > 1e-9 and left:
        used = vectors[:, m > 0]
        M += spare / left * (np.eye(size) - used @ used.T)
    return M
