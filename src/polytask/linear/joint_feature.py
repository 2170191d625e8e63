"""Features that all tasks use or none (Argyriou, Evgeniou and Pontil 2006; Obozinski, Taskar and Jordan 2006)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import FeatureGroups
from polytask.linear.problem import Regulariser


class JointFeature(MultiTaskRegressor):
    """Joint feature selection with the l2,1 norm: a feature is used by all tasks or by none.

    ``loss + strength sum_j ||(w_1j, ..., w_Tj)||_2``. Solved on working sets of features. With one X and
    ``loss_scaling="mean"`` it is scikit-learn's ``MultiTaskLasso(alpha=strength)``. ``lambda_max`` is the
    largest norm of a row of ``[X_t' y_t]``.

    :param strength: the l2,1 strength; zero is least squares per task.

    Obozinski, Taskar and Jordan. Joint covariate selection and joint subspace selection for multiple classification
    problems. Statistics and Computing 2010.
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
        """One group per feature."""
        return Regulariser((FeatureGroups(self.strength),))


class JointFeatureClassifier(MultiTaskClassifier):
    """Joint feature selection for logistic tasks: the penalty of ``JointFeature``.

    :param strength: the l2,1 strength.
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
        """One group per feature."""
        return Regulariser((FeatureGroups(self.strength),))
