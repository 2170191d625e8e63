"""Tasks in a common low-dimensional subspace, by the trace norm."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import TraceNormPenalty
from polytask.linear.problem import Regulariser


class TraceNorm(MultiTaskRegressor):
    """Low-rank weights: tasks lie in a common subspace that is found by the sum of the singular values.

    ``loss + strength ||W||_*``. Unlike the l2,1 norm it does not depend on the rotation of the features.
    ``lambda_max`` is the largest singular value of ``[X_t' y_t]``.

    :param strength: the threshold on the singular values.

    Ji and Ye. An accelerated gradient method for trace norm minimization. ICML 2009.
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
        return Regulariser((TraceNormPenalty(self.strength),))


class TraceNormClassifier(MultiTaskClassifier):
    """Low-rank weights of logistic tasks: the penalty of ``TraceNorm``.

    :param strength: the threshold on the singular values.
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
        return Regulariser((TraceNormPenalty(self.strength),))
