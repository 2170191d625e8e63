"""Tasks close to their mean (Evgeniou and Pontil, KDD 2004)."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.coupling import Coupling
from polytask.linear.problem import Regulariser


class MeanRegularized(MultiTaskRegressor):
    """Ridge regressions that are pulled towards their mean; solved in closed form.

    ``loss + strength sum_t ||w_t - mean w||^2 + ridge sum_t ||w_t||^2``. ``strength -> inf`` is one pooled model (with
    an intercept per task), ``strength = 0`` a ridge per task. MALSAR's SRMTL: ``strength = rho1``, ``ridge = rho_L2``.
    The paper's ``l1/T sum ||v_t||^2 + l2 ||w_0||^2`` with ``w_t = w_0 + v_t``: ``ridge = l1 l2 / ((l1 + l2) T)`` and
    ``strength = l1^2 / ((l1 + l2) T)``.

    :param strength: distance to the mean.
    :param ridge: size of the weights.

    Evgeniou and Pontil. Regularized multi-task learning. KDD 2004.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 1.0,
        ridge: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.ridge = ridge
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Quadratic only."""
        return Regulariser(coupling=Coupling(ridge=self.ridge, mean=self.strength))


class MeanRegularizedClassifier(MultiTaskClassifier):
    """Logistic regressions that are pulled towards their mean; the penalty of ``MeanRegularized``.

    :param strength: distance to the mean.
    :param ridge: size of the weights.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 0.1,
        ridge: float = 0.01,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.ridge = ridge
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """Quadratic only."""
        return Regulariser(coupling=Coupling(ridge=self.ridge, mean=self.strength))
