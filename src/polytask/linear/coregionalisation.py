"""Gaussian processes of several tasks: the covariance of rows and tasks, and the posterior given rows. Only numpy.

``K((x, s), (x', t)) = sum_q B_q[s, t] k_q(x, x')`` is the linear model of coregionalisation (LMC); with one term it is
the intrinsic model (ICM). Every ``k_q(x, x) = 1``, so the scale is in ``B_q``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from sklearn.gaussian_process.kernels import RBF, Matern

from polytask.errors import DataError
from polytask.linear.arrays import Array, Codes
from polytask.linear.forms import Rows

SMOOTHNESS = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}
"""Of the Matern kernels; ``rbf`` is the limit."""
KERNELS = ("rbf", *SMOOTHNESS)


@dataclass(frozen=True)
class Coregionalisation:
    """The covariance of values at pairs (row, task).

    :param kernel: of rows: one of ``KERNELS``.
    :param lengthscales: (Q, d), in units of the features.
    :param covariances: (Q, T + 1, T + 1); the last task is one that was not seen.
    """

    kernel: str
    lengthscales: Array
    covariances: Array

    def __call__(self, X: Array, codes: Codes, Z: Array, others: Codes) -> Array:
        """The matrix (rows of X, rows of Z)."""
        out = np.zeros((len(X), len(Z)))
        for rows, B in zip(self._rows(X, Z), self.covariances, strict=True):
            out += rows * B[np.ix_(codes, others)]
        return out

    def functions(self, X: Array, Z: Array, others: Codes, dual: Array) -> Array:
        """``sum_i dual_i K((x, t), (z_i, other_i))`` of every row for every task (rows of X, T)."""
        out = np.zeros((len(X), self.covariances.shape[1] - 1))
        for rows, B in zip(self._rows(X, Z), self.covariances, strict=True):
            out += rows @ (dual[:, None] * B[others, :-1])
        return out

    def _rows(self, X: Array, Z: Array) -> list[Array]:
        if self.kernel == "rbf":
            return [np.asarray(RBF(scale)(X, Z)) for scale in self.lengthscales]
        return [np.asarray(Matern(scale, nu=SMOOTHNESS[self.kernel])(X, Z)) for scale in self.lengthscales]


def with_unseen(B: Array) -> Array:
    """One more task (.., T + 1, T + 1): the mean of the tasks' functions plus a deviation as large as theirs is."""
    size = B.shape[-1]
    out = np.zeros((*B.shape[:-2], size + 1, size + 1))
    out[..., :-1, :-1] = B
    out[..., -1, :-1] = out[..., :-1, -1] = B.mean(axis=-1)
    out[..., -1, -1] = np.trace(B, axis1=-2, axis2=-1) / size
    return out


@dataclass(frozen=True)
class Posterior:
    """What the rows say about the functions.

    :param X: (N, d) rows that were seen, and their tasks ``codes`` (N,).
    :param levels: (T + 1,) intercepts, the last of an unseen task.
    :param factor: (N, N) lower Cholesky factor of the covariance of the labels.
    :param dual: (N,) the inverse of that covariance times labels less intercepts.
    :param fixed: (N, T) ``factor^-1 Z`` with Z the indicators of tasks, and
    :param fixed_factor: (T, T), the Cholesky factor of ``Z' K^-1 Z``; both None without intercepts.
    :param log_likelihood: of the labels, with a flat prior on the intercepts.
    """

    prior: Coregionalisation
    X: Array
    codes: Codes
    levels: Array
    factor: Array
    dual: Array
    fixed: Array | None
    fixed_factor: Array | None
    log_likelihood: float

    def mean(self, X: Array, codes: Codes | None) -> Array:
        """Of rows for tasks (n,), or of every row for every task (n, T)."""
        if codes is None:
            return np.asarray(self.prior.functions(X, self.X, self.codes, self.dual) + self.levels[:-1])
        return np.asarray(self.prior(X, codes, self.X, self.codes) @ self.dual + self.levels[codes])

    def variance(self, X: Array, codes: Codes) -> Array:
        """Of the functions (n,): without the noise of labels, with the uncertainty of the intercepts."""
        solved = self._solved(X, codes)
        out = self._own(codes) - np.square(solved).sum(axis=0)
        levels = self._unknown_levels(solved, codes)
        if levels is not None:
            out += np.square(levels).sum(axis=0)
        return np.asarray(np.maximum(out, 0.0))

    def covariance(self, X: Array, codes: Codes) -> Array:
        """Of the functions at all pairs of rows (n, n)."""
        solved = self._solved(X, codes)
        out = self.prior(X, codes, X, codes) - solved.T @ solved
        levels = self._unknown_levels(solved, codes)
        return out if levels is None else np.asarray(out + levels.T @ levels)

    def _own(self, codes: Codes) -> Array:
        return np.asarray(np.diagonal(self.prior.covariances.sum(axis=0))[codes])

    def _solved(self, X: Array, codes: Codes) -> Array:
        return np.asarray(solve_triangular(self.factor, self.prior(self.X, self.codes, X, codes), lower=True))

    def _unknown_levels(self, solved: Array, codes: Codes) -> Array | None:
        """What an estimated intercept leaves open, as in universal kriging: (T, n)."""
        if self.fixed is None or self.fixed_factor is None:
            return None
        tasks = self.fixed.shape[1]
        wanted = np.vstack([np.eye(tasks), np.full(tasks, 1 / tasks)])[codes]
        return np.asarray(solve_triangular(self.fixed_factor, wanted.T - self.fixed.T @ solved, lower=True))


def condition(prior: Coregionalisation, noise: Array, rows: Rows, *, intercept: bool) -> Posterior:
    """The posterior given stacked rows; a weight w is w repetitions of a row.

    Intercepts have a flat prior: their estimate is that of generalised least squares, the likelihood is the restricted
    one, integrated over them.

    :param noise: (T,) variances of the labels.
    :raises DataError: rows that are equal up to the noise, without noise.
    """
    codes, w, N, T = np.asarray(rows.codes), rows.weight, len(rows.y), rows.tasks
    K = prior(rows.X, codes, rows.X, codes)
    K[np.diag_indices_from(K)] += noise[codes] / w
    try:
        L = cholesky(K, lower=True, overwrite_a=True)
    except LinAlgError as error:
        raise DataError(
            "the covariance of the labels is singular: rows repeat, or their labels are certain.", where="noise",
            do="Give a larger noise.",
        ) from error  # fmt: skip
    more = w != 1
    repeated = 0.5 * np.sum((w[more] - 1) * np.log(2 * np.pi * noise[codes[more]]) + np.log(w[more]))
    a = solve_triangular(L, rows.y, lower=True)
    levels, fixed, factor = np.zeros(T), None, None
    likelihood = -np.log(np.diag(L)).sum() - 0.5 * N * np.log(2 * np.pi) - repeated
    if intercept:
        fixed = solve_triangular(L, (codes[:, None] == np.arange(T)).astype(float), lower=True)
        factor = cholesky(fixed.T @ fixed, lower=True)
        half = solve_triangular(factor, fixed.T @ a, lower=True)
        levels = solve_triangular(factor, half, lower=True, trans="T")
        a = a - fixed @ levels
        likelihood += 0.5 * T * np.log(2 * np.pi) - np.log(np.diag(factor)).sum()
    dual = solve_triangular(L, a, lower=True, trans="T")
    return Posterior(
        prior, rows.X, codes, np.append(levels, levels.mean()), L, dual, fixed, factor,
        float(likelihood - 0.5 * a @ a),
    )  # fmt: skip
