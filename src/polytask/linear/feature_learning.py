"""Features learned for all tasks (Argyriou, Evgeniou and Pontil 2006)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polytask.linear.arrays import Array
from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import SquaredTraceNorm
from polytask.linear.problem import Regulariser


class FeatureLearning(MultiTaskRegressor):
    """Few linear combinations of the features serve all tasks (multi-task feature learning).

    ``loss + strength min_D sum_t w_t' D^+ w_t`` over ``D >= 0``, ``tr D <= 1``, which is ``loss + strength ||W||_*^2``:
    solved as such, without the alternation and its epsilon. It is ``TraceNorm`` with the strength
    ``2 strength ||W||_*``. The paper has the loss without 1/2: its gamma is twice our strength.

    :param strength: gamma.

    Argyriou, Evgeniou and Pontil. Convex multi-task feature learning. Machine Learning 2008.
    """

    def __init__(
        self,
        strength: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """On the singular values."""
        return Regulariser((SquaredTraceNorm(self.strength),))

    @property
    def feature_covariance_(self) -> Array:
        """``D = (W' W)^(1/2) / trace`` (d, d): the learned features are its eigenvectors."""
        return _covariance(self.coef_)


class FeatureLearningClassifier(MultiTaskClassifier):
    """Learned features for logistic tasks: the penalty of ``FeatureLearning``.

    :param strength: gamma.
    """

    def __init__(
        self,
        strength: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """On the singular values."""
        return Regulariser((SquaredTraceNorm(self.strength),))

    @property
    def feature_covariance_(self) -> Array:
        """``D = (W' W)^(1/2) / trace`` (d, d): the learned features are its eigenvectors."""
        return _covariance(self.coef_)


def _covariance(coef: Array) -> Array:
    _, s, Vt = np.linalg.svd(coef, full_matrices=False)
    return np.asarray((Vt.T * (s / max(float(s.sum()), np.finfo(float).tiny))) @ Vt)
