"""Kernels on pairs (row, task): ``K((x, s), (x', t)) = B_st k(x, x')``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics.pairwise import pairwise_kernels

from polytask.errors import ConfigError
from polytask.linear.arrays import Array, Codes


@dataclass(frozen=True)
class TaskKernel:
    """The kernel of rows and the covariance of tasks.

    :param kernel: ``linear``, ``rbf``, ``poly``, ``laplacian``, ``cosine`` or ``sigmoid``.
    :param gamma: of the kernel; None is 1 / d.
    :param tasks: (T + 1, T + 1) covariance; the last row and column are of a task that was not seen.
    """

    kernel: str
    gamma: float | None
    tasks: Array

    def __call__(self, X: Any, codes: Codes, Z: Any, others: Codes) -> Array:
        """The matrix (rows of X, rows of Z)."""
        return np.asarray(self._rows(X, Z) * self.tasks[np.ix_(codes, others)])

    def functions(self, X: Any, Z: Any, others: Codes, dual: Array) -> Array:
        """``sum_i dual_i K((x, t), (z_i, other_i))`` of every row for every task (rows of X, T)."""
        return np.asarray(self._rows(X, Z) @ (dual[:, None] * self.tasks[others, :-1]))

    def _rows(self, X: Any, Z: Any) -> Array:
        options = {} if self.gamma is None or self.kernel in ("linear", "cosine") else {"gamma": self.gamma}
        return np.asarray(pairwise_kernels(X, Z, metric=self.kernel, **options))


KERNELS = ("linear", "rbf", "poly", "laplacian", "cosine", "sigmoid")


def task_kernel(kernel: str, gamma: float | None, tasks: Any, mu: float, number: int) -> TaskKernel:
    """Check the arguments of the estimators.

    :param tasks: ``"mean"`` for ``B = 1/mu + identity`` (a shared function plus one per task), or ``B`` (T, T).
    :raises ConfigError: an unknown kernel, or a covariance of tasks that is none.
    """
    if kernel not in KERNELS:
        raise ConfigError(f"expected one of {KERNELS}, found {kernel!r}.", where="kernel")
    if gamma is not None and not gamma > 0:
        raise ConfigError(f"expected a positive number or None, found {gamma!r}.", where="gamma")
    B = np.zeros((number + 1, number + 1))
    if isinstance(tasks, str):
        if tasks != "mean" or not mu > 0:
            raise ConfigError(
                f"expected 'mean' with mu > 0, or a matrix; found {tasks!r}, mu {mu!r}.", where="task_kernel"
            )
        return TaskKernel(kernel, gamma, 1 / mu + np.eye(number + 1))
    B[:-1, :-1] = check_covariance(tasks, number, where="task_kernel")
    return TaskKernel(kernel, gamma, B)


def check_covariance(given: Any, number: int, *, where: str) -> Array:
    """A covariance of tasks as a matrix (T, T).

    :raises ConfigError: another shape, or not symmetric, or not positive semidefinite.
    """
    B = np.asarray(given, dtype=float)
    if B.shape != (number, number) or not np.all(np.isfinite(B)):
        raise ConfigError(f"expected a finite matrix ({number}, {number}), found shape {B.shape}.", where=where)
    size = float(np.abs(B).max())
    if not np.allclose(B, B.T, atol=1e-12 * size) or np.linalg.eigvalsh(B)[0] < -1e-10 * size:
        raise ConfigError("expected a symmetric positive semidefinite matrix.", where=where)
    return B
