"""Tasks in clusters, by convex relaxation (Jacob et al., NIPS 2008; Zhou et al., NIPS 2011)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from polytask.linear.arrays import Array
from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.problem import Regulariser
from polytask.linear.relation import inner_matrix, relaxation, whole_number


class ClusteredTasks(MultiTaskRegressor):
    """Tasks fall into clusters with similar weights: the convex relaxation of k-means on the tasks.

    ``loss + c min_M tr(W' (eta I + M)^-1 W)`` over (T, T) matrices ``0 <= M <= I``, ``tr M = clusters``, with
    ``eta = ridge / strength``, ``c = strength eta (1 + eta)``. ``M`` is eliminated in closed form, so the problem is
    convex in W alone and is solved to ``tol``. The optimum is that of ``AlternatingStructure`` with equal arguments.
    MALSAR: ``strength = rho1``, ``ridge = rho2``.

    :param strength: distance to the centres of the clusters.
    :param ridge: size of the weights; positive unless ``strength`` is zero.
    :param clusters: their number, from 1 to T; None is about the root of T.

    Jacob, Bach and Vert. Clustered multi-task learning: a convex formulation. NIPS 2008.
    Zhou, Chen and Ye. Clustered multi-task learning via alternating structure optimization. NIPS 2011.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 1.0,
        ridge: float = 1.0,
        clusters: int | None = None,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.ridge = ridge
        self.clusters = clusters
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """The cluster norm."""
        return relaxation(self.strength, self.ridge, whole_number(self.clusters, len(tasks), "clusters"))

    @property
    def task_covariance_(self) -> Array:
        """``M`` (T, T): large between tasks of one cluster."""
        return _covariance(self.coef_, self.strength, self.ridge, self.clusters)

    @property
    def task_groups_(self) -> NDArray[np.intp]:
        """The cluster of each task (T,), by k-means on the leading eigenvectors of ``M``."""
        return _groups(self.task_covariance_, whole_number(self.clusters, len(self.tasks_), "clusters"))


class ClusteredTasksClassifier(MultiTaskClassifier):
    """Logistic tasks in clusters: the penalty of ``ClusteredTasks``.

    :param strength: distance to the centres of the clusters.
    :param ridge: size of the weights.
    :param clusters: their number.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 0.1,
        ridge: float = 0.01,
        clusters: int | None = None,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.ridge = ridge
        self.clusters = clusters
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """The cluster norm."""
        return relaxation(self.strength, self.ridge, whole_number(self.clusters, len(tasks), "clusters"))

    @property
    def task_covariance_(self) -> Array:
        """``M`` (T, T): large between tasks of one cluster."""
        return _covariance(self.coef_, self.strength, self.ridge, self.clusters)

    @property
    def task_groups_(self) -> NDArray[np.intp]:
        """The cluster of each task (T,), by k-means on the leading eigenvectors of ``M``."""
        return _groups(self.task_covariance_, whole_number(self.clusters, len(self.tasks_), "clusters"))


def _covariance(coef: Array, strength: float, ridge: float, clusters: int | None) -> Array:
    U, s, _ = np.linalg.svd(coef, full_matrices=False)
    eta = ridge / strength if strength else float("inf")
    return inner_matrix(U, s, eta=eta, rank=whole_number(clusters, len(coef), "clusters"))


def _groups(M: Array, clusters: int) -> NDArray[np.intp]:
    leading = np.linalg.eigh(M)[1][:, -clusters:]
    return np.asarray(KMeans(clusters, n_init=10, random_state=0).fit_predict(leading), dtype=np.intp)
