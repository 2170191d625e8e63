"""Block-sparse plus sparse weights (Jalali et al., NIPS 2010)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.penalties import Entries, FeatureMaxima
from polytask.linear.problem import Regulariser


class Dirty(MultiTaskRegressor):
    """Shared features of equal size plus features of single tasks.

    ``W = P + Q``: ``loss + shared sum_j max_t |P_tj| + own sum |Q_tj|``. Useful for ``own <= shared <= T own``: with
    ``own >= shared`` Q is zero, with ``shared >= T own`` P is zero (a lasso per task). MALSAR has the loss without
    1/2: its strengths are twice these. ``blocks_`` holds P and Q, which need not be unique; their sum is.

    :param shared: strength on the l1,inf norm of P.
    :param own: strength on the l1 norm of Q.

    Jalali, Ravikumar, Sanghavi and Ruan. A dirty model for multi-task learning. NIPS 2010.
    """

    strengths = ("shared", "own")

    def __init__(
        self,
        shared: float = 2.0,
        own: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.shared = shared
        self.own = own
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((FeatureMaxima(self.shared), Entries(self.own)))


class DirtyClassifier(MultiTaskClassifier):
    """Shared plus own features of logistic tasks: the penalties of ``Dirty``.

    :param shared: strength on the l1,inf norm of P.
    :param own: strength on the l1 norm of Q.
    """

    strengths = ("shared", "own")

    def __init__(
        self,
        shared: float = 0.02,
        own: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.shared = shared
        self.own = own
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Two blocks."""
        return Regulariser((FeatureMaxima(self.shared), Entries(self.own)))
