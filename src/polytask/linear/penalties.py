"""Convex penalties on (T, d) weights: a value, a proximal operator, and the strength at which all weights are zero."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from polytask.linear.arrays import Array
from polytask.linear.prox import (
    l1_ball,
    largest_entries,
    map_singular_values,
    shrink,
    singular_values,
    soft,
    squared_sum,
    waterfill,
)
from polytask.linear.total_variation import total_variation


class Penalty(ABC):
    """A convex function of the weights that may have kinks."""

    @abstractmethod
    def value(self, W: Array) -> float:
        """The penalty; for a constraint, zero inside."""

    @abstractmethod
    def prox(self, V: Array, step: float) -> Array:
        """The minimiser of ``1/2 ||W - V||^2 + step value(W)``."""

    def critical(self, slope: Array) -> float:
        """The factor on the strength from which on zero weights are optimal, given the gradient at zero."""
        return float("inf") if np.any(slope) else 0.0


def _ratio(dual: float, strength: float) -> float:
    return dual / strength if strength > 0 else (float("inf") if dual > 0 else 0.0)


@dataclass(frozen=True)
class Nothing(Penalty):
    """No penalty."""

    def value(self, W: Array) -> float:
        """Zero."""
        return 0.0

    def prox(self, V: Array, step: float) -> Array:
        """The identity."""
        return V


@dataclass(frozen=True)
class FeatureGroups(Penalty):
    """``strength sum_j ||W_:j||_2``: a feature is used by all tasks or by none."""

    strength: float

    def value(self, W: Array) -> float:
        """The sum of the norms of the features."""
        return self.strength * float(np.sqrt(np.square(W).sum(axis=0)).sum())

    def prox(self, V: Array, step: float) -> Array:
        """Shrink every feature."""
        return shrink(V, step * self.strength, axis=0)

    def critical(self, slope: Array) -> float:
        """By the largest norm of a feature."""
        return _ratio(float(np.sqrt(np.square(slope).sum(axis=0)).max(initial=0.0)), self.strength)


@dataclass(frozen=True)
class TaskGroups(Penalty):
    """``strength sum_t ||w_t||_2``: most tasks have zero, outliers do not."""

    strength: float

    def value(self, W: Array) -> float:
        """The sum of the norms of the tasks."""
        return self.strength * float(np.sqrt(np.square(W).sum(axis=1)).sum())

    def prox(self, V: Array, step: float) -> Array:
        """Shrink every task."""
        return shrink(V, step * self.strength, axis=1)

    def critical(self, slope: Array) -> float:
        """By the largest norm of a task."""
        return _ratio(float(np.sqrt(np.square(slope).sum(axis=1)).max(initial=0.0)), self.strength)


@dataclass(frozen=True)
class FeatureMaxima(Penalty):
    """``strength sum_j max_t |W_tj|``: shared features of equal size."""

    strength: float

    def value(self, W: Array) -> float:
        """The sum of the largest entries."""
        return self.strength * float(np.abs(W).max(axis=0).sum())

    def prox(self, V: Array, step: float) -> Array:
        """By Moreau's identity."""
        return largest_entries(V, step * self.strength)

    def critical(self, slope: Array) -> float:
        """By the largest sum over tasks."""
        return _ratio(float(np.abs(slope).sum(axis=0).max(initial=0.0)), self.strength)


@dataclass(frozen=True)
class Entries(Penalty):
    """``strength sum |W_tj|``."""

    strength: float

    def value(self, W: Array) -> float:
        """The sum of the sizes."""
        return self.strength * float(np.abs(W).sum())

    def prox(self, V: Array, step: float) -> Array:
        """Soft thresholding."""
        return soft(V, step * self.strength)

    def critical(self, slope: Array) -> float:
        """By the largest entry."""
        return _ratio(float(np.abs(slope).max(initial=0.0)), self.strength)


class Spectral(Penalty):
    """A symmetric convex function of the singular values."""

    @abstractmethod
    def spectrum_value(self, s: Array) -> float:
        """The penalty of falling singular values."""

    @abstractmethod
    def spectrum_prox(self, s: Array, step: float) -> Array:
        """The operator on falling singular values."""

    def value(self, W: Array) -> float:
        """By the singular values."""
        return self.spectrum_value(singular_values(W))

    def prox(self, V: Array, step: float) -> Array:
        """Keep the singular vectors."""
        return map_singular_values(V, lambda s: self.spectrum_prox(s, step))


@dataclass(frozen=True)
class TraceNormPenalty(Spectral):
    """``strength ||W||_*``, the sum of the singular values: tasks share a subspace."""

    strength: float

    def spectrum_value(self, s: Array) -> float:
        """The sum."""
        return self.strength * float(s.sum())

    def spectrum_prox(self, s: Array, step: float) -> Array:
        """Singular value thresholding."""
        return np.maximum(s - step * self.strength, 0.0)

    def critical(self, slope: Array) -> float:
        """By the largest singular value."""
        return _ratio(float(singular_values(slope).max(initial=0.0)), self.strength)


@dataclass(frozen=True)
class TraceBall(Spectral):
    """The constraint ``||W||_* <= radius``."""

    radius: float

    def spectrum_value(self, s: Array) -> float:
        """Zero inside."""
        return 0.0

    def spectrum_prox(self, s: Array, step: float) -> Array:
        """Projection on the l1 ball."""
        return l1_ball(s, self.radius)


@dataclass(frozen=True)
class SquaredTraceNorm(Spectral):
    """``strength ||W||_*^2``."""

    strength: float

    def spectrum_value(self, s: Array) -> float:
        """The squared sum."""
        return self.strength * float(s.sum()) ** 2

    def spectrum_prox(self, s: Array, step: float) -> Array:
        """Thresholding at a level that depends on the result."""
        return squared_sum(s, step * self.strength)


@dataclass(frozen=True)
class ClusterNorm(Spectral):
    """``factor min_M tr(W' (eta I + M)^-1 W)`` over ``0 <= M <= I``, ``tr M = rank``, in closed form.

    The best ``M`` has the singular vectors of ``W``; its eigenvalues are a water-filling of the singular values. The
    penalty is the same whether ``M`` is over tasks (clustering) or over features (alternating structure): the two
    relaxations have one optimum (Zhou, Chen and Ye, NIPS 2011). The operator fills with ``eta`` moved by ``2 step``.
    """

    factor: float
    eta: float
    rank: float

    def spectrum_value(self, s: Array) -> float:
        """At the best M."""
        return self.factor * float((s**2 / (self.eta + waterfill(s, self.rank, self.eta))).sum())

    def spectrum_prox(self, s: Array, step: float) -> Array:
        """Jointly in M and the singular values."""
        shift = 2 * step * self.factor
        weight = self.eta + waterfill(s, self.rank, self.eta, shift)
        return np.asarray(s * weight / (weight + shift))


@dataclass(frozen=True)
class FusedSparseGroup(Penalty):
    """``sparse sum |W| + fused sum |w_t+1 - w_t| + group sum_j ||W_:j||_2`` along the chain of the tasks.

    The operators compose in this order: fused, entries, groups (Zhou et al., KDD 2012, theorem 1).
    """

    sparse: float
    fused: float
    group: float

    def value(self, W: Array) -> float:
        """The three sums."""
        jumps = float(np.abs(np.diff(W, axis=0)).sum())
        return Entries(self.sparse).value(W) + self.fused * jumps + FeatureGroups(self.group).value(W)

    def prox(self, V: Array, step: float) -> Array:
        """One after the other."""
        fused = total_variation(np.ascontiguousarray(V.T), step * self.fused).T
        return shrink(soft(fused, step * self.sparse), step * self.group, axis=0)


@dataclass(frozen=True)
class FreeIntercept(Penalty):
    """A penalty on all columns but the last, which is the intercept of a logistic loss."""

    inside: Penalty
    keep: bool

    def value(self, W: Array) -> float:
        """Without the intercept."""
        return self.inside.value(W[:, :-1])

    def prox(self, V: Array, step: float) -> Array:
        """The intercept stays, or is zero in all blocks but the first."""
        last = V[:, -1:] if self.keep else np.zeros((len(V), 1))
        return np.hstack([self.inside.prox(V[:, :-1], step), last])
