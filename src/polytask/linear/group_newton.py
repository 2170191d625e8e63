"""Newton's method for the l2,1 norm: on the features in use, the sum of their norms is smooth.

Steps are solved by conjugate gradients and cut where they would not get lower (the loss is quadratic, so a trial is
cheap). A feature that a step would turn around becomes zero; one outside that violates optimality enters along its
slope. The preconditioner is a diagonal at first, and an exact inverse once the products spent would have paid for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from polytask.linear.arrays import Array, Codes, column_inner, column_norms, inner, norm
from polytask.linear.fista import Solution
from polytask.linear.group_curvature import BlockInverse, Curvature, Frames
from polytask.linear.smooth import Point, SquaredLoss

STEPS = 60
"""Newton steps before the caller tries something else; a handful is usual."""
SHORT = 3
"""Short steps before that: the features in use are then not yet those of the optimum."""
NOTHING = 0.02
"""A feature that a step shrinks to less of its length becomes zero, if that is lower."""
LOOSE = 0.3
"""The first steps are solved to this relative residual, later ones more closely."""
SHIFTS = 2
"""Proximal gradient steps before a Newton step from a cold start, while features are still entering."""
FLAT = 1e-10
"""Directions with less curvature, in units of the diagonal, are not followed to the bottom."""


@dataclass
class Memory:
    """What may be used again at the next strength.

    :param chosen: the features of the working set.
    :param part: the loss of these features.
    :param inverse: of an earlier Hessian of this loss.
    :param products: with this loss since the inverse was made.
    """

    chosen: Codes = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    part: SquaredLoss | None = None
    inverse: BlockInverse | None = None
    products: int = 0

    def take(self, loss: SquaredLoss, chosen: Codes) -> SquaredLoss:
        """The loss of the chosen features: that of the last strength if they are the same."""
        if self.part is None or not np.array_equal(self.chosen, chosen):
            self.part = loss if len(chosen) == loss.shape[1] else loss.columns(chosen)
            self.chosen, self.inverse, self.products = chosen, None, 0
        return self.part


@dataclass(frozen=True)
class _Place:
    """Weights, the norms of their features, and the subgradient of smallest norm."""

    point: Point
    lengths: Array
    slack: Array


@dataclass
class _Step:
    """A direction and its product with the Hessian of the loss."""

    D: Array
    image: Array
    products: int = 0


class _Objective:
    """``loss + strength sum_j ||W_:j||``."""

    def __init__(self, loss: SquaredLoss, strength: float) -> None:
        self.loss = loss
        self.strength = strength

    @cached_property
    def gram(self) -> Array | None:
        """The Gram matrices, made when the first step is."""
        return self.loss.gram()

    @cached_property
    def diagonal(self) -> Array:
        """The diagonals of the Hessian of the loss."""
        self.loss.gram()  # first, so that the diagonal is read off it
        return self.loss.diagonal()

    @cached_property
    def metric(self) -> Array:
        """The curvature (d,) that ``shift`` expects of each feature; it learns."""
        typical = self.diagonal.max(axis=0)
        return np.asarray(np.where(typical > 0, typical, 1.0))

    def place(self, point: Point) -> _Place:
        """What is known at a point."""
        lengths = column_norms(point.W)
        return _Place(point, lengths, smallest_subgradient(point.grad, point.W, lengths, self.strength))

    def shift(self, place: _Place, moving: NDArray[np.bool_]) -> _Place:
        """A proximal gradient step of some features in the metric of the diagonal, as far as it surely gets lower.

        So features enter. ``P(W + s D) <= P(W) + s (P(W + D) - P(W))`` bounds the norms on the ray.
        """
        point, metric = place.point, self.metric
        V = point.W - point.grad / metric
        lengths = column_norms(V)
        V *= np.maximum(1 - self.strength / np.maximum(metric * lengths, np.finfo(float).tiny), 0.0)
        D = np.where(moving, V - point.W, 0.0)
        V = point.W + D
        image = self.loss.hessian(D)
        bend = inner(D, image)
        descent = -inner(point.grad, D) - self.strength * float((column_norms(V) - place.lengths).sum())
        if descent >= bend:
            product = point.product + image
            return self.place(Point(V, product - self.loss.b, product))
        if descent <= 0:  # nothing but rounding is left
            return place
        length = descent / bend
        self.metric = metric / length
        product = point.product + length * image
        return self.place(Point(point.W + length * D, product - self.loss.b, product))

    def step(self, place: _Place, want: float, memory: Memory) -> tuple[_Step, Curvature]:
        """Newton's step by conjugate gradients, to ``want`` of the slack in the preconditioned norm."""
        curvature = Curvature.at(place.point.W, place.lengths, self.strength)
        price = BlockInverse.price(self.loss, int(curvature.used.sum()))
        if memory.products >= price:
            gram = self.loss.design.gram(self.loss.weight) if self.gram is None else self.gram
            memory.inverse, memory.products = BlockInverse.build(gram, curvature), 0
        frames = Frames(self.diagonal, curvature)
        R = -place.slack * curvature.used
        if memory.inverse is not None and not inner(R, memory.inverse.apply(R, curvature.used, frames)) > 0:
            memory.inverse = None  # too far from positive definite in rounding
        inverse = memory.inverse
        Q = frames.apply(R) if inverse is None else inverse.apply(R, curvature.used, frames)
        power, P = inner(R, Q), Q
        goal = want**2 * power
        step = _Step(np.zeros_like(R), np.zeros_like(R))
        most = max(10, int(min(100, price - memory.products)))
        while power > goal and step.products < most:
            image = self.loss.hessian(P)
            bent = curvature.add(P, image)
            curve = inner(P, bent)
            step.products += 1
            flat = not curve > FLAT * inner(P, P * self.diagonal)
            if flat and step.products > 1:
                break
            length = 1.0 if flat else power / curve
            step.D += length * P
            step.image += length * image
            if flat:
                break
            R -= length * bent
            Q = frames.apply(R) if inverse is None else inverse.apply(R, curvature.used, frames)
            before, power = power, inner(R, Q)
            P = Q + (power / before) * P
        memory.products += step.products * (1 if inverse is None else 2)
        return step, curvature

    def descend(self, place: _Place, step: _Step, curvature: Curvature) -> tuple[_Place, bool] | None:
        """The longest of some steps that gets lower, and whether it is short.

        Features that it turns around become zero. The steps are 1, 1/2, 1/4, then the one that brings the first feature
        to zero, and its halves. The first three also put an end to features that shrink to nearly nothing, because
        Newton's method would shrink them for ever.
        """
        point, size = place.point, 1.0
        for trial in range(30):
            if trial == 3:
                inward = -column_inner(step.D, curvature.directions)
                size = min(size, float((place.lengths[inward > 0] / inward[inward > 0]).min(initial=size)))
            W = point.W + size * step.D
            left = NOTHING * place.lengths if trial < 3 else 0.0
            turned = curvature.used & (column_inner(W, curvature.directions) <= left)
            if turned.any():
                W[:, turned] = 0.0
                product = self.loss.hessian(W)
            else:
                product = point.product + size * step.image
            E = W - point.W
            sums = place.lengths + column_norms(W)
            longer = column_inner(point.W + W, E) / np.where(sums > 0, sums, 1.0)  # without cancellation
            change = inner(point.grad, E) + 0.5 * inner(E, product - point.product) + self.strength * longer.sum()
            if change <= 0:
                return self.place(Point(W, product - self.loss.b, product)), trial >= 3
            size /= 2
        return None


def newton_groups(
    loss: SquaredLoss, strength: float, start: Point, *, tol: float, max_iter: int, scale: float, memory: Memory
) -> Solution:
    """Minimise ``loss + strength sum_j ||W_:j||``; ends early where steps have to be short.

    :param tol: stop when the norm of the smallest subgradient is at most ``tol * scale``.
    :param memory: of earlier strengths on the same loss; it is kept up to date.
    """
    objective = _Objective(loss, strength)
    here = objective.place(start)
    products = 0
    cold = not start.W.any()
    shifts = SHIFTS if cold else 1
    short = 0
    for _ in range(STEPS):
        residual = norm(here.slack)
        if residual <= tol * scale or products >= max_iter:
            break
        outside = np.where(here.lengths > 0, 0.0, here.slack)
        if norm(outside) > 0.1 * residual:
            for _ in range(shifts):
                here = objective.shift(here, (here.lengths == 0) | cold)
            products += shifts
        want = max(min(LOOSE, np.sqrt(residual / scale)), LOOSE * tol * scale / residual)
        step, curvature = objective.step(here, want, memory)
        products += step.products + 1
        lower = objective.descend(here, step, curvature)
        if lower is None:
            break
        here, cut = lower
        short += cut
        if short >= SHORT:
            break
    residual = norm(here.slack)
    return Solution(here.point.W[None], residual / scale if scale > 0 else 0.0, products)


def smallest_subgradient(grad: Array, W: Array, lengths: Array, strength: float) -> Array:
    """The element of smallest norm in the subdifferential, feature by feature.

    :param lengths: the norms of the features of ``W``.
    """
    used = lengths > 0
    kept = np.maximum(1 - strength / np.maximum(column_norms(grad), np.finfo(float).tiny), 0.0)
    kept[used] = 1.0
    slack = grad * kept
    slack += W * (strength / np.where(used, lengths, np.inf))
    return np.asarray(slack)
