"""The Hessian of a squared loss with an l2,1 norm on the features in use, and two inverses of it for preconditioning.

It is ``H + D - U D U'``: ``H`` has a block per task, ``D`` holds ``strength / ||W_:j||``, and the columns of ``U`` are
the directions of the features across the tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.linear.arrays import Array, Codes, column_inner
from polytask.linear.smooth import SquaredLoss

MOST_ENTRIES = 2**25
"""Larger inverses (256 MiB) are not made."""


@dataclass(frozen=True)
class Curvature:
    """The Hessian of ``strength sum_j ||W_:j||`` at the features in use.

    :param directions: (T, d), columns of norm one, or zero where the feature is not in use.
    :param bend: (d,) ``strength / ||W_:j||``, zero where not in use.
    :param used: (d,)
    """

    directions: Array
    bend: Array
    used: NDArray[np.bool_]

    @classmethod
    def at(cls, W: Array, lengths: Array, strength: float) -> Curvature:
        """At weights with these norms of the features."""
        used = lengths > 0
        inverse = np.where(used, 1.0, 0.0) / np.where(used, lengths, 1.0)
        return cls(W * inverse, strength * inverse, used)

    def add(self, P: Array, image: Array) -> Array:
        """``image + (D - U D U') P``."""
        out = P - self.directions * column_inner(self.directions, P)
        out *= self.bend
        out += image
        return out


class Frames:
    """The inverse of the diagonal of the Hessian, along the direction of each feature and across it.

    :param diagonal: that of ``H``, (T, d) or (1, d).
    """

    def __init__(self, diagonal: Array, curvature: Curvature) -> None:
        tiny = 1e-12 * float(diagonal.max(initial=0.0)) + np.finfo(float).tiny
        used = np.where(curvature.used, 1.0, 0.0)
        self.directions = curvature.directions
        self.across = used / (diagonal + (curvature.bend + tiny))
        self.along = used / (column_inner(self.directions, self.directions * diagonal) + tiny)

    def apply(self, R: Array) -> Array:
        """To the features in use; zero elsewhere."""
        along = column_inner(self.directions, R)
        Q = R - self.directions * along
        Q *= self.across
        Q += self.directions * (self.along * along - column_inner(self.directions, Q))
        return Q


@dataclass(frozen=True)
class BlockInverse:
    """The exact inverse ``B^-1 + B^-1 U (D^-1 - U' B^-1 U)^-1 U' B^-1`` with ``B = H + D``; it may be stale when used.

    :param features: (s,) positions of the features it covers.
    :param blocks: (T, s, s) or (1, s, s): ``B^-1``, task by task.
    :param directions: (T, s) ``U``.
    :param middle: (s, s) the inverse of the small system, or None at strength zero.
    """

    features: Codes
    blocks: Array
    directions: Array
    middle: Array | None

    @staticmethod
    def price(loss: SquaredLoss, used: int) -> float:
        """How many products cost as much as an inverse, roughly; infinite where it would not fit."""
        tasks, d = loss.shape
        if loss.design.grams * used**2 > MOST_ENTRIES:
            return float("inf")
        product = min(1.0, 2 * loss.design.rows / d)  # through the rows where these are few, else a Gram matrix
        return (1.5 * d if loss.design.grams > 1 else 2.0 * d / tasks) / product

    @classmethod
    def build(cls, gram: Array, curvature: Curvature) -> BlockInverse:
        """At the features in use."""
        features = np.flatnonzero(curvature.used)
        whole = len(features) == len(curvature.used)
        U, bend = curvature.directions[:, features], curvature.bend[features]
        B = gram.copy() if whole else gram[:, features[:, None], features]
        diagonal = np.einsum("tjj->tj", B)
        diagonal += bend + 1e-10 * diagonal.mean()
        blocks = np.asarray(np.linalg.inv(B), dtype=np.float64)
        if not np.all(bend > 0):
            return cls(features, blocks, U, None)
        inside = U.T @ U * blocks[0] if len(blocks) == 1 else np.einsum("tij,tj->ij", blocks * U[:, :, None], U)
        small = np.diag(1 / bend) - inside
        small[np.diag_indices_from(small)] += 1e-10 / bend
        return cls(features, blocks, U, np.asarray(np.linalg.inv(small), dtype=np.float64))

    def apply(self, R: Array, used: NDArray[np.bool_], rest: Frames) -> Array:
        """To the features in use; those that it does not cover by ``rest``."""
        mine = used[self.features]
        if len(mine) == len(used) and mine.all():
            return self._solve(R)
        solved = self._solve(R[:, self.features] * mine)
        solved *= mine
        outside = used.copy()
        outside[self.features] = False
        Q = rest.apply(R * outside) if outside.any() else np.zeros_like(R)
        Q[:, self.features] = solved
        return Q

    def _solve(self, R: Array) -> Array:
        Q = self._times(R)
        if self.middle is not None:
            Q += self._times(self.directions * (column_inner(self.directions, Q) @ self.middle))
        return Q

    def _times(self, R: Array) -> Array:
        if len(self.blocks) == 1:
            return np.asarray(R @ self.blocks[0])
        return np.asarray(np.matmul(R[:, None, :], self.blocks)[:, 0])
