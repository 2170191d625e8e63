"""A subspace that tasks share beside their own weights (Ando and Zhang 2005; Chen et al., ICML 2009)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from polytask.linear.arrays import Array
from polytask.linear.base import MultiTaskClassifier, MultiTaskRegressor
from polytask.linear.problem import Regulariser
from polytask.linear.relation import relaxation, whole_number


class AlternatingStructure(MultiTaskRegressor):
    """Weights are free inside a learned subspace and small outside: convex alternating structure optimisation (cASO).

    ``w_t = u_t + Theta' v_t`` with ``Theta`` (dimensions, d); the relaxation is
    ``loss + c min_M tr(W (eta I + M)^-1 W')`` over (d, d) matrices ``0 <= M <= I``, ``tr M = dimensions``, with
    ``eta = ridge / strength``, ``c = strength eta (1 + eta)``; ``M`` is eliminated in closed form.

    :param strength: weights outside the subspace.
    :param ridge: size of the weights; positive unless ``strength`` is zero.
    :param dimensions: of the subspace, from 1 to d; None is about the root of d.

    Ando and Zhang. A framework for learning predictive structures from multiple tasks. JMLR 2005.
    Chen, Tang, Liu and Ye. A convex formulation for learning shared structures from multiple tasks. ICML 2009.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 1.0,
        ridge: float = 1.0,
        dimensions: int | None = None,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "sum",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.ridge = ridge
        self.dimensions = dimensions
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """The cluster norm, over features."""
        return relaxation(self.strength, self.ridge, whole_number(self.dimensions, features, "dimensions"))

    @property
    def shared_subspace_(self) -> Array:
        """The leading eigenvectors of ``M`` in rows, (dimensions, d): what tasks share beyond their own weights."""
        return _subspace(self.coef_, whole_number(self.dimensions, self.coef_.shape[1], "dimensions"))


class AlternatingStructureClassifier(MultiTaskClassifier):
    """Logistic tasks with a shared subspace: the penalty of ``AlternatingStructure``.

    :param strength: weights outside the subspace.
    :param ridge: size of the weights.
    :param dimensions: of the subspace.
    """

    strengths = ("strength", "ridge")

    def __init__(
        self,
        strength: float = 0.1,
        ridge: float = 0.01,
        dimensions: int | None = None,
        *,
        fit_intercept: bool = True,
        loss_scaling: str = "mean",
        unseen: str = "error",
        tol: float = 1e-6,
        max_iter: int = 10_000,
    ) -> None:
        self.strength = strength
        self.ridge = ridge
        self.dimensions = dimensions
        self.fit_intercept = fit_intercept
        self.loss_scaling = loss_scaling
        self.unseen = unseen
        self.tol = tol
        self.max_iter = max_iter

    def regulariser(self, tasks: NDArray[Any], features: int) -> Regulariser:
        """The cluster norm, over features."""
        return relaxation(self.strength, self.ridge, whole_number(self.dimensions, features, "dimensions"))

    @property
    def shared_subspace_(self) -> Array:
        """The leading eigenvectors of ``M`` in rows, (dimensions, d): what tasks share beyond their own weights."""
        return _subspace(self.coef_, whole_number(self.dimensions, self.coef_.shape[1], "dimensions"))


def _subspace(coef: Array, dimensions: int) -> Array:
    return np.asarray(np.linalg.svd(coef, full_matrices=True)[2][:dimensions])
