"""Tasks that are alike along the edges of a graph."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.coupling import Coupling
from polytask.linear.graph import laplacian
from polytask.linear.problem import Regulariser


class GraphTasks(MultiTaskRegressor):
    """Weights that change little along the edges of a graph of tasks; solved by conjugate gradients.

    ``loss + strength sum_edges a_st ||w_s - w_t||^2 + ridge sum_t ||w_t||^2``. In the papers the sum over edges is
    ``||W E||_F^2 = tr(W L W')`` with the incidence ``E`` and the Laplacian ``L``; no factors 1/2.

    :param strength: of the graph.
    :param graph: ``"chain"`` along the sorted labels (time), or an adjacency (T, T), dense or sparse, symmetric and
        connected, in the order of the sorted labels.
    :param ridge: size of the weights.

    Evgeniou, Micchelli and Pontil. Learning multiple tasks with kernel methods. JMLR 2005.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 1.0,
        graph: Any = "chain",
        ridge: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.graph = graph
        self.ridge = ridge
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Quadratic only."""
        return _regulariser(self.strength, self.graph, self.ridge, tasks)


class GraphTasksClassifier(MultiTaskClassifier):
    """Logistic tasks that are alike along the edges of a graph: the penalty of ``GraphTasks``.

    :param strength: of the graph.
    :param graph: ``"chain"``, or an adjacency (T, T).
    :param ridge: size of the weights.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 0.1,
        graph: Any = "chain",
        ridge: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.graph = graph
        self.ridge = ridge
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Quadratic only."""
        return _regulariser(self.strength, self.graph, self.ridge, tasks)


def _regulariser(strength: float, graph: Any, ridge: float, tasks: NDArray[Any]) -> Regulariser:
    return Regulariser(coupling=Coupling(ridge=ridge, laplacian=strength * laplacian(graph, tasks)))
