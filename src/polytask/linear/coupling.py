"""The quadratic part of a regulariser: ridge, distance to the mean of the tasks, smoothness along a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polytask.linear.arrays import Array, inner


@dataclass(frozen=True)
class Coupling:
    """``ridge ||W||^2 + mean sum_t ||w_t - mean w||^2 + tr(W' laplacian W)``, without factors 1/2.

    :param laplacian: a sparse or dense (T, T) positive semidefinite matrix, or None.
    """

    ridge: float = 0.0
    mean: float = 0.0
    laplacian: Any = None

    @property
    def is_zero(self) -> bool:
        """Nothing is coupled or shrunk."""
        return not self.ridge and not self.mean and self.laplacian is None

    def apply(self, W: Array) -> Array:
        """``A W``: half the gradient."""
        out = (self.ridge + self.mean) * W
        if self.mean:
            out -= self.mean * W.mean(axis=0)
        if self.laplacian is not None:
            out += self.laplacian @ W
        return np.asarray(out)

    def value(self, W: Array) -> float:
        """The penalty."""
        return 0.0 if self.is_zero else inner(W, self.apply(W))

    def bound(self) -> float:
        """No less than the largest eigenvalue of ``A`` (Gershgorin)."""
        graph = 0.0 if self.laplacian is None else float(np.max(abs(self.laplacian).sum(axis=1)))
        return self.ridge + self.mean + graph

    def diagonal(self, tasks: int) -> Array:
        """The diagonal of ``A`` (T,)."""
        own = 0.0 if self.laplacian is None else self.laplacian.diagonal()
        return np.broadcast_to(self.ridge + self.mean * (1 - 1 / tasks) + own, (tasks,))
