"""A Gaussian process for several tasks (Bonilla, Chai and Williams, NIPS 2007)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from polytask.errors import ConfigError
from polytask.linear.arrays import Array, is_sparse
from polytask.linear.coregionalisation import KERNELS, Coregionalisation, condition, with_unseen
from polytask.linear.forms import Rows, read_features
from polytask.linear.marginal_likelihood import Given, Hyperparameters, Search, learn
from polytask.linear.placing import Placed, place
from polytask.linear.rows_of_tasks import stacked
from polytask.linear.shells import TaskRegressor
from polytask.linear.task_kernel import check_covariance


class TaskGaussianProcess(TaskRegressor):
    """A Gaussian process over pairs (row, task), with the covariance between tasks learned from the labels.

    ``y_i = f(x_i, t_i) + c_t + e_i``, ``cov(f(x, s), f(x', t)) = sum_q B_q[s, t] k_q(x, x')``,
    ``B_q = C_q C_q' + diag(v_q)``, ``var(e_i) = noise_t / weight_i``. One latent kernel is the intrinsic model of
    coregionalisation (ICM), more are the linear model (LMC). ``k_q(x, x) = 1``: the scale is in ``B_q``.

    What is given is held fixed; None is learned: intercepts have a flat prior, and the rest maximises the restricted
    likelihood, by L-BFGS-B on gpytorch's kernels in float64 (extra ``[gp]``; not needed where all is given, nor for
    ``predict``). Inference is exact: O(N^3) time and O(N^2) memory for the N rows of all tasks. Without noise and with
    one X for all tasks nothing goes from task to task (Bonilla et al., section 2.3).

    :param kernel: of rows: ``"rbf"``, ``"matern12"``, ``"matern32"`` or ``"matern52"``.
    :param latent: number of latent kernels Q.
    :param rank: columns of every C, 1 to T.
    :param ard: a lengthscale for every feature; False: one for all, in units of the features' spread.
    :param lengthscale: in units of the features: a number, (d,) or (Q, d).
    :param task_covariance: B (T, T) in the order of the sorted labels, or (Q, T, T).
    :param noise: variance of the labels: a number or (T,).
    :param fit_intercept: whether tasks have an intercept.
    :param unseen: ``"error"``, or ``"warn"`` and answer with the mean of the tasks' functions.
    :param restarts: random starts besides the first one; the best likelihood wins.
    :param max_iter: iterations from each start; reaching it is a ``ConvergenceWarning``.
    :param random_state: of the starts.

    Fitted: ``task_covariance_`` (T, T), the sum of ``latent_covariances_`` (Q, T, T); ``lengthscale_`` (Q, d);
    ``noise_`` (T,); ``intercept_`` (T,); ``log_marginal_likelihood_``; ``tasks_``; ``n_iter_``.

    Bonilla, Chai and Williams. Multi-task Gaussian process prediction. NIPS 2007. Goovaerts. Geostatistics for natural
    resources evaluation. Oxford, 1997 (LMC).
    """

    def __init__(
        self,
        kernel: str = "rbf",
        latent: int = 1,
        rank: int = 1,
        *,
        ard: bool = True,
        lengthscale: Any = None,
        task_covariance: Any = None,
        noise: Any = None,
        fit_intercept: bool = True,
        unseen: str = "error",
        restarts: int = 0,
        max_iter: int = 1000,
        random_state: Any = 0,
    ) -> None:
        self.kernel = kernel
        self.latent = latent
        self.rank = rank
        self.ard = ard
        self.lengthscale = lengthscale
        self.task_covariance = task_covariance
        self.noise = noise
        self.fit_intercept = fit_intercept
        self.unseen = unseen
        self.restarts = restarts
        self.max_iter = max_iter
        self.random_state = random_state

    def predict(self, X: Any, tasks: Any = None, return_std: bool = False, return_cov: bool = False) -> Any:
        """The posterior mean in the form of ``fit``.

        :param return_std: also the posterior standard deviation of the function, in the same form. For a new label add
            the variance ``noise_`` of its task.
        :param return_cov: also the posterior covariance of all rows (N, N); needs the tasks of the rows.
        """
        check_is_fitted(self)
        placed = place(X, tasks, self.tasks_, form=self.form_, unseen=self.unseen)
        rows = _dense(read_features(self, placed.X, placed.names))
        mean = placed.give(self.posterior_.mean(rows, placed.codes))
        if return_cov:
            if placed.codes is None:
                raise ConfigError("a covariance is of rows with tasks; pass tasks.", where="return_cov")
            return mean, self.posterior_.covariance(rows, placed.codes)
        if return_std:
            return mean, placed.give(self._deviations(rows, placed))
        return mean

    def _fit(self, rows: Rows) -> None:
        data = stacked(rows)
        data, self.n_iter_ = replace(data, X=_dense(data.X)), 1
        given = self._given(data.tasks, data.X.shape[1])
        known = given.complete() or self._learned(data, given)
        self.lengthscale_, self.latent_covariances_, self.noise_ = known.lengthscales, known.covariances, known.noise
        self.task_covariance_ = self.latent_covariances_.sum(axis=0)
        prior = Coregionalisation(self.kernel, self.lengthscale_, with_unseen(self.latent_covariances_))
        self.posterior_ = condition(prior, self.noise_, data, intercept=self.fit_intercept)
        self.intercept_ = self.posterior_.levels[:-1]
        self.log_marginal_likelihood_ = self.posterior_.log_likelihood
        self.tasks_, self.form_ = rows.labels, rows.form

    def _learned(self, rows: Rows, given: Given) -> Hyperparameters:
        search = Search(self.kernel, self.latent, self.rank, self.ard, self.fit_intercept, self.restarts, self.max_iter)
        found, self.n_iter_, enough = learn(rows, given, search, check_random_state(self.random_state))
        if not enough:
            warnings.warn(
                f"the likelihood was still rising after {self.n_iter_} iterations; raise max_iter.",
                ConvergenceWarning, stacklevel=4,
            )  # fmt: skip
        return found

    def _values(self, X: Any, placed: Placed) -> Array:
        return self.posterior_.mean(_dense(X), placed.codes)

    def _deviations(self, X: Array, placed: Placed) -> Array:
        if placed.codes is not None:
            return np.sqrt(self.posterior_.variance(X, placed.codes))
        every = [np.full(len(X), t, dtype=np.intp) for t in range(len(self.tasks_))]
        return np.sqrt(np.stack([self.posterior_.variance(X, codes) for codes in every], axis=1))

    def _given(self, tasks: int, features: int) -> Given:
        """The arguments as arrays.

        :raises ConfigError: one of them is no such thing.
        """
        if self.kernel not in KERNELS:
            raise ConfigError(f"expected one of {KERNELS}, found {self.kernel!r}.", where="kernel")
        for name, least, most in (("latent", 1, 100), ("rank", 1, tasks), ("restarts", 0, 1000), ("max_iter", 1, 1e6)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
                raise ConfigError(f"expected a whole number from {least} to {most:.0f}, found {value!r}.", where=name)
        lengthscales = self._array("lengthscale", (self.latent, features), zero=False)
        covariances = None
        if self.task_covariance is not None:
            given = np.asarray(self.task_covariance, dtype=float)
            given = given[None] if given.ndim == 2 else given
            if len(given) != self.latent:
                raise ConfigError(
                    f"expected {self.latent} matrices, one per latent kernel, found shape {given.shape}.",
                    where="task_covariance",
                )
            covariances = np.stack([check_covariance(B, tasks, where="task_covariance") for B in given])
        return Given(lengthscales, covariances, self._array("noise", (tasks,), zero=True))

    def _array(self, name: str, shape: tuple[int, ...], *, zero: bool) -> Array | None:
        given = getattr(self, name)
        if given is None:
            return None
        try:
            values = np.broadcast_to(np.asarray(given, dtype=float), shape).copy()
        except (TypeError, ValueError) as error:
            raise ConfigError(f"expected a number or an array {shape}, found {given!r}.", where=name) from error
        if not np.all(np.isfinite(values)) or not np.all(values >= 0 if zero else values > 0):
            raise ConfigError(f"expected {'no negative' if zero else 'positive'} numbers, found {given!r}.", where=name)
        return values


def _dense(X: Any) -> Array:
    return np.asarray(X.toarray() if is_sparse(X) else X)
