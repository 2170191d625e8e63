"""Smooth losses of all tasks: squared (a quadratic form) and logistic, with the quadratic coupling folded in.

A ``Point`` remembers what the loss knows there. Extrapolation of accelerated methods is affine, and so are products
with the design, so the gradient at an extrapolated point is free (squared) or costs half (logistic).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit

from polytask.linear.arrays import Array, Codes, inner
from polytask.linear.coupling import Coupling
from polytask.linear.design import Design

GRAM_ENTRIES = 2**27
"""Gram matrices with more entries in all (1 GiB) are not formed."""

SMALL_GRAM = 32
"""Gram matrices of so few features are formed however few rows there are."""


@dataclass(frozen=True)
class Point:
    """Weights, the gradient there, and the product that both the value and an extrapolation need."""

    W: Array
    grad: Array
    product: Array


class Smooth(ABC):
    """A differentiable convex function of the weights."""

    shape: tuple[int, int]

    @abstractmethod
    def at(self, W: Array) -> Point:
        """Evaluate: one product with the design."""

    @abstractmethod
    def between(self, new: Point, old: Point, beta: float) -> Point:
        """The point ``new + beta (new - old)``."""

    @abstractmethod
    def value(self, point: Point) -> float:
        """The loss with the coupling."""

    @property
    @abstractmethod
    def lipschitz(self) -> float:
        """A close bound of the curvature: the largest over the tasks, by power iteration."""


@dataclass
class Products:
    """What a squared loss has worked out about its design; shared by the same loss under other couplings.

    :param gram: (T, d, d), or (1, d, d) where all tasks share one.
    :param curvature: the largest eigenvalue.
    :param asked: number of products so far.
    """

    gram: Array | None = None
    curvature: float | None = None
    asked: int = 0


class SquaredLoss(Smooth):
    """``1/2 sum_i weight_i (y_i - x_i w_t(i))^2`` as ``constant - <b, W> + 1/2 <W, H W>``.

    ``H`` is applied through Gram matrices when that is less work: tasks with more rows than half the features.
    They are made when a third product is asked for, or later where all tasks share one.

    :param labels: centred, in the layout of the design.
    :param b: ``X_t' diag(weight) y_t`` (T, d).
    """

    def __init__(
        self,
        design: Design,
        labels: Array,
        weight: Array,
        b: Array,
        *,
        coupling: Coupling | None = None,
        products: Products | None = None,
    ) -> None:
        self.design = design
        self.weight = weight
        self.labels = labels
        self.b = b
        self.constant = 0.5 * inner(weight * labels, labels)
        self.coupling = coupling or Coupling()
        self.products = products or Products()
        self.shape = (design.tasks, design.features)

    @classmethod
    def build(cls, design: Design, y: Array, weight: Array) -> SquaredLoss:
        """From labels and weights in the layout of the design."""
        return cls(design, y, weight, design.adjoint(weight * y))

    def coupled(self, coupling: Coupling) -> SquaredLoss:
        """The same loss with another quadratic penalty; nothing is recomputed."""
        return SquaredLoss(self.design, self.labels, self.weight, self.b, coupling=coupling, products=self.products)

    def columns(self, chosen: Codes) -> SquaredLoss:
        """The loss of some features, the others being zero."""
        design = self.design.columns(chosen)
        whole = self.products.gram
        products = Products(gram=None if whole is None else whole[:, chosen[:, None], chosen])
        return SquaredLoss(
            design, self.labels, self.weight, self.b[:, chosen], coupling=self.coupling, products=products
        )

    def hessian(self, W: Array) -> Array:
        """``H W`` of the loss alone."""
        self.products.asked += 1
        gram = self.gram() if self.products.asked > self.patience else self.products.gram
        if gram is None:
            return self.design.adjoint(self.weight * self.design.forward(W))
        if len(gram) == 1:
            return np.asarray(W @ gram[0])
        return np.asarray(np.matmul(W[:, None, :], gram)[:, 0])

    @property
    def patience(self) -> float:
        """Products to wait for before Gram matrices are made; one X needs many, as a product serves all tasks."""
        return 2.0 if self.design.grams > 1 else max(2.0, self.shape[1] / (4 * self.shape[0]))

    def gram(self) -> Array | None:
        """The Gram matrices, or None where they would not pay or not fit."""
        design = self.design
        fits = design.grams * design.features**2 <= GRAM_ENTRIES
        pays = 2 * design.rows >= design.features or design.features <= SMALL_GRAM
        if self.products.gram is None and fits and pays:
            self.products.gram = design.gram(self.weight)
        return self.products.gram

    def diagonal(self) -> Array:
        """The diagonals of ``H`` (T, d), or (1, d) where all tasks share one."""
        if self.products.gram is not None:
            return np.asarray(np.einsum("tjj->tj", self.products.gram))
        return self.design.squares(self.weight)

    def at(self, W: Array) -> Point:
        """One product."""
        product = self.hessian(W) if W.any() else np.zeros(self.shape)
        if not self.coupling.is_zero:
            product = product + 2 * self.coupling.apply(W)
        return Point(W, product - self.b, product)

    def through(self, part: SquaredLoss, chosen: Codes, W: Array) -> Point:
        """Evaluate, without a coupling, at weights that are zero outside of ``part = columns(chosen)``."""
        if part is self or self.products.gram is not None:
            return self.at(W)
        product = self.design.adjoint(self.weight * part.design.forward(W[:, chosen]))
        return Point(W, product - self.b, product)

    def between(self, new: Point, old: Point, beta: float) -> Point:
        """Affine, so free."""
        product = new.product + beta * (new.product - old.product)
        return Point(new.W + beta * (new.W - old.W), product - self.b, product)

    def value(self, point: Point) -> float:
        """The quadratic form."""
        return self.constant - inner(self.b, point.W) + 0.5 * inner(point.W, point.product)

    @property
    def curvature(self) -> float:
        """The largest eigenvalue of the loss over all tasks; computed once for all couplings."""
        if self.products.curvature is None:
            self.products.curvature = largest_eigenvalue(self)
        return self.products.curvature

    @property
    def lipschitz(self) -> float:
        """Loss and coupling."""
        return self.curvature + 2 * self.coupling.bound()


class LogisticLoss(Smooth):
    """``sum_i weight_i log(1 + exp(-y_i (x_i w_t(i) + c_t(i))))``, y in {-1, 1}.

    The weights are (T, d + 1): the last column is the intercept ``c`` of the centred features, kept at zero without
    an intercept.
    """

    def __init__(
        self, design: Design, y: Array, weight: Array, *, intercept: bool, coupling: Coupling | None = None
    ) -> None:
        self.design = design
        self.y = y
        self.weight = weight
        self.intercept = intercept
        self.coupling = coupling or Coupling()
        self.shape = (design.tasks, design.features + 1)

    def coupled(self, coupling: Coupling) -> LogisticLoss:
        """The same loss with another quadratic penalty."""
        return LogisticLoss(self.design, self.y, self.weight, intercept=self.intercept, coupling=coupling)

    def _point(self, W: Array, margin: Array) -> Point:
        slope = -self.weight * self.y * expit(-margin)
        grad = np.empty(self.shape)
        grad[:, :-1] = self.design.adjoint(slope)
        grad[:, -1] = self.design.sums(slope) if self.intercept else 0.0
        if not self.coupling.is_zero:
            grad[:, :-1] += 2 * self.coupling.apply(W[:, :-1])
        return Point(W, grad, margin)

    def at(self, W: Array) -> Point:
        """One product forth and one back."""
        return self._point(W, self.y * (self.design.forward(W[:, :-1]) + self.design.spread(W[:, -1])))

    def between(self, new: Point, old: Point, beta: float) -> Point:
        """Margins are affine: one product back."""
        return self._point(new.W + beta * (new.W - old.W), new.product + beta * (new.product - old.product))

    def value(self, point: Point) -> float:
        """The loss with the coupling."""
        loss = inner(np.broadcast_to(self.weight, point.product.shape), np.logaddexp(0.0, -point.product))
        return loss + self.coupling.value(point.W[:, :-1])

    @cached_property
    def curvature(self) -> float:
        """A quarter of the largest eigenvalue of ``[X_t, 1]' diag(weight) [X_t, 1]``; features are centred."""
        squared = SquaredLoss(
            self.design,
            self.y,
            self.weight,
            np.zeros((self.design.tasks, self.design.features)),
        )
        ones = self.design.sums(np.broadcast_to(self.weight, self.y.shape)) if self.intercept else 0.0
        return max(largest_eigenvalue(squared), float(np.max(ones))) / 4

    @property
    def lipschitz(self) -> float:
        """Loss and coupling."""
        return self.curvature + 2 * self.coupling.bound()


def largest_eigenvalue(loss: SquaredLoss, iterations: int = 30, slack: float = 1.03) -> float:
    """The largest eigenvalue of any ``H_t`` by power iteration on all tasks at once, enlarged by ``slack``.

    The estimate is from below; solvers check the bound as they go and enlarge it when it fails.
    """
    different = loss.design.grams  # one vector is enough where all tasks have the same rows
    v = np.random.default_rng(0).standard_normal((different, loss.shape[1]))
    value = 0.0
    for _ in range(iterations):
        lengths = np.sqrt(np.einsum("td,td->t", v, v))
        v = v / np.maximum(lengths, np.finfo(float).tiny)[:, None]
        image = loss.hessian(v)
        before, value = value, float(np.einsum("td,td->t", v, image).max(initial=0.0))
        if abs(value - before) <= 1e-2 * value:
            break
        v = image
    return slack * value
