"""Tasks that follow one another in time."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.coupling import Coupling
from polytask.linear.graph import laplacian
from polytask.linear.penalties import FusedSparseGroup
from polytask.linear.problem import Regulariser


class TemporalGroup(MultiTaskRegressor):
    """Tasks along time (the sorted labels): smooth or piecewise constant weights of jointly chosen features.

    ``loss + ridge ||W||_F^2 + smooth sum_t ||w_t+1 - w_t||^2``
    ``+ sparse sum |w| + fused sum |w_t+1 - w_t| + group sum_j ||W_:j||``.
    The temporal group lasso (TGL) has ``ridge``, ``smooth``, ``group``; the convex fused sparse group lasso (cFSGL) has
    ``sparse``, ``fused``, ``group``.

    :param ridge: size of the weights, squared.
    :param smooth: squared change from task to task.
    :param sparse: l1 norm.
    :param fused: absolute change from task to task.
    :param group: norms of the features over all tasks.

    Zhou, Yuan, Liu and Ye. A multi-task learning formulation for predicting disease progression. KDD 2011.
    Zhou, Liu, Narayan and Ye. Modeling disease progression via fused sparse group lasso. KDD 2012.
    """

    strengths = ("ridge", "smooth", "sparse", "fused", "group")

    def __init__(
        self,
        ridge: float = 0.0,
        smooth: float = 1.0,
        sparse: float = 0.0,
        fused: float = 0.0,
        group: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.ridge = ridge
        self.smooth = smooth
        self.sparse = sparse
        self.fused = fused
        self.group = group
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """One chain, three kinks."""
        chain = self.smooth * laplacian("chain", tasks) if self.smooth else None
        kinks = (FusedSparseGroup(self.sparse, self.fused, self.group),)
        kinked = self.sparse or self.fused or self.group
        return Regulariser(kinks if kinked else (), Coupling(self.ridge, laplacian=chain))


class TemporalGroupClassifier(MultiTaskClassifier):
    """Logistic tasks along time: the penalties of ``TemporalGroup``.

    :param ridge: size of the weights, squared.
    :param smooth: squared change from task to task.
    :param sparse: l1 norm.
    :param fused: absolute change from task to task.
    :param group: norms of the features over all tasks.
    """

    strengths = ("ridge", "smooth", "sparse", "fused", "group")

    def __init__(
        self,
        ridge: float = 0.0,
        smooth: float = 0.01,
        sparse: float = 0.0,
        fused: float = 0.0,
        group: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.ridge = ridge
        self.smooth = smooth
        self.sparse = sparse
        self.fused = fused
        self.group = group
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """One chain, three kinks."""
        chain = self.smooth * laplacian("chain", tasks) if self.smooth else None
        kinks = (FusedSparseGroup(self.sparse, self.fused, self.group),)
        kinked = self.sparse or self.fused or self.group
        return Regulariser(kinks if kinked else (), Coupling(self.ridge, laplacian=chain))
