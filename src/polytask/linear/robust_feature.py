"""Joint features with outlier tasks (Gong, Ye and Zhang, KDD 2012)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import FeatureGroups, TaskGroups
from polytask.linear.problem import Regulariser


class RobustFeature(MultiTaskRegressor):
    """Most tasks use the same features; a few outlier tasks go their own way (rMTFL).

    ``W = P + Q``: ``loss + shared sum_j ||P_:j||_2 + outlier sum_t ||q_t||_2``. MALSAR has the loss without 1/2:
    its strengths are twice these. ``blocks_`` holds P and Q, which need not be unique.

    :param shared: strength on the features of P.
    :param outlier: strength on the tasks of Q.

    Gong, Ye and Zhang. Robust multi-task feature learning. KDD 2012.
    """

    strengths = ("shared", "outlier")

    def __init__(
        self,
        shared: float = 1.0,
        outlier: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.shared = shared
        self.outlier = outlier
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((FeatureGroups(self.shared), TaskGroups(self.outlier)))


class RobustFeatureClassifier(MultiTaskClassifier):
    """Joint features of logistic tasks with outliers: the penalties of ``RobustFeature``.

    :param shared: strength on the features of P.
    :param outlier: strength on the tasks of Q.
    """

    strengths = ("shared", "outlier")

    def __init__(
        self,
        shared: float = 0.01,
        outlier: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.shared = shared
        self.outlier = outlier
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((FeatureGroups(self.shared), TaskGroups(self.outlier)))
