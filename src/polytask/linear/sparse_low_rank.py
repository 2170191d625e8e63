"""Sparse plus low-rank weights (Chen, Liu and Ye, KDD 2010)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import Entries, TraceBall
from polytask.linear.problem import Regulariser


class SparseLowRank(MultiTaskRegressor):
    """Sparse weights of single tasks plus a low-rank shared part of bounded size.

    ``W = P + Q``: ``loss + sparse sum |P_tj|`` subject to ``||Q||_* <= radius``. ``blocks_`` holds P and Q.

    :param sparse: strength on the entries of P.
    :param radius: the largest trace norm of Q, in the units of the weights; zero is a lasso per task.

    Chen, Liu and Ye. Learning incoherent sparse and low-rank patterns from multiple tasks. KDD 2010.
    """

    strengths = ("sparse",)

    def __init__(
        self,
        sparse: float = 1.0,
        radius: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.sparse = sparse
        self.radius = radius
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((Entries(self.sparse), TraceBall(self.radius)))


class SparseLowRankClassifier(MultiTaskClassifier):
    """Sparse plus low-rank weights of logistic tasks: the penalties of ``SparseLowRank``.

    :param sparse: strength on the entries of P.
    :param radius: the largest trace norm of Q.
    """

    strengths = ("sparse",)

    def __init__(
        self,
        sparse: float = 0.01,
        radius: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.sparse = sparse
        self.radius = radius
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((Entries(self.sparse), TraceBall(self.radius)))
