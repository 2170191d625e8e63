"""Low-rank weights with outlier tasks (Chen, Zhou and Ye, KDD 2011)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import TaskGroups, TraceNormPenalty
from polytask.linear.problem import Regulariser


class Robust(MultiTaskRegressor):
    """Most tasks share a subspace; a few outlier tasks go their own way.

    ``W = L + S``: ``loss + low_rank ||L||_* + outlier sum_t ||s_t||_2``. ``blocks_`` holds L and S; a task with
    non-zero ``s_t`` is an outlier. The strengths are those of MALSAR's RMTL.

    :param low_rank: strength on the trace norm of L.
    :param outlier: strength on the norms of the tasks of S.

    Chen, Zhou and Ye. Integrating low-rank and group-sparse structures for robust multi-task learning. KDD 2011.
    """

    strengths = ("low_rank", "outlier")

    def __init__(
        self,
        low_rank: float = 1.0,
        outlier: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.low_rank = low_rank
        self.outlier = outlier
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((TraceNormPenalty(self.low_rank), TaskGroups(self.outlier)))


class RobustClassifier(MultiTaskClassifier):
    """Low-rank logistic tasks with outliers: the penalties of ``Robust``.

    :param low_rank: strength on the trace norm of L.
    :param outlier: strength on the norms of the tasks of S.
    """

    strengths = ("low_rank", "outlier")

    def __init__(
        self,
        low_rank: float = 0.01,
        outlier: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.low_rank = low_rank
        self.outlier = outlier
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((TraceNormPenalty(self.low_rank), TaskGroups(self.outlier)))
