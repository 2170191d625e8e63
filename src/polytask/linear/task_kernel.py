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
        options = {} if self.gamma is None or self.kernel in ("linear", "cosine") else {"gamma": self.gamma}
        rows = pairwise_kernels(X, Z, metric=self.kernel, **options)
        return np.asarray(rows * self.tasks[np.ix_(codes, others)])


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
    given = np.asarray(tasks, dtype=float)
    if given.shape != (number, number) or not np.all(np.isfinite(given)):
        raise ConfigError(
            f"expected a finite matrix ({number}, {number}), found shape {given.shape}.", where="task_kernel"
        )
    if not np.allclose(given, given.T) or np.linalg.eigvalsh(given)[0] < -1e-10 * max(1.0, float(np.abs(given).max())):
        raise ConfigError("expected a symmetric positive semidefinite matrix.", where="task_kernel")
    B[:-1, :-1] = given
    return TaskKernel(kernel, gamma, B)
