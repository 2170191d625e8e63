"""Solutions along the strength of a regulariser, each started from the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from polytask.errors import ConfigError
from polytask.linear.arrays import Array
from polytask.linear.fista import Solution
from polytask.linear.group_newton import Memory
from polytask.linear.problem import solve


@dataclass(frozen=True)
class Path:
    """K solutions.

    :param factors: (K,) falling; all strengths of the estimator were multiplied by them.
    :param coefs: (K, T, d).
    :param intercepts: (K, T).
    :param objectives: (K,).
    :param residuals: (K,), as ``residual_``.
    :param iterations: (K,).
    """

    factors: Array
    coefs: Array
    intercepts: Array
    objectives: Array
    residuals: Array
    iterations: Array


def strength_path(
    estimator: Any,
    X: Any,
    y: Any,
    tasks: Any = None,
    sample_weight: Any = None,
    *,
    factors: Sequence[float] | Array | None = None,
    steps: int = 50,
    ratio: float = 1e-3,
) -> Path:
    """Fit along ``factors`` times the strengths of the estimator, from strong to weak, with warm starts.

    The data are read, centred and multiplied once.

    :param factors: None goes geometrically from ``lambda_max``, where all weights are zero, to ``ratio`` times it.
    :raises ConfigError: no factors for an estimator whose weights are never all zero.

    >>> rng = np.random.default_rng(0)
    >>> X, tasks = rng.normal(size=(60, 5)), np.repeat(["a", "b", "c"], 20)
    >>> from polytask.linear.joint_feature import JointFeature
    >>> path = strength_path(JointFeature(), X, X[:, 0] + rng.normal(size=60), tasks, steps=5)
    >>> [int((coef != 0).any(axis=0).sum()) for coef in path.coefs][0]
    0
    """
    model = clone(estimator)
    rows = model.read(X, y, tasks, sample_weight)
    problem = model.problem(rows)
    if factors is None:
        factors = default_factors(model, problem.slope, rows.labels, steps=steps, ratio=ratio)
    ordered = -np.sort(-np.asarray(factors, dtype=float))
    if not len(ordered) or not np.all(np.isfinite(ordered)) or ordered[-1] < 0:
        raise ConfigError("expected finite numbers of at least 0.", where="factors")
    found: list[Solution] = []
    memory = Memory()
    whole = {name: getattr(model, name) for name in model.strengths}
    for factor in ordered:
        for name, strength in whole.items():
            setattr(model, name, float(factor) * strength)
        regulariser = model.regulariser(rows.labels, rows.X.shape[1])
        start = extrapolated(found, ordered[: len(found) + 1])
        if start is not None and len(start) != max(len(regulariser.blocks), 1):
            start = None
        found.append(solve(problem, regulariser, tol=model.tol, max_iter=model.max_iter, start=start, memory=memory))
    pairs = [problem.coefficients(solution.weights) for solution in found]
    return Path(
        ordered,
        np.stack([coef for coef, _ in pairs]),
        np.stack([level for _, level in pairs]),
        np.array([solution.objective for solution in found]),
        np.array([solution.residual for solution in found]),
        np.array([solution.iterations for solution in found], dtype=float),
    )


def extrapolated(found: Sequence[Solution], factors: Array) -> Array | None:
    """The blocks at the last factor from those at the factors before it: polynomials in the factor, through three.

    Where no feature, task or direction comes or goes, solutions are smooth in the strength. Weights that are zero now
    stay zero.
    """
    known = [solution.blocks for solution in found[-3:]]
    if not known:
        return None
    if any(blocks.shape != known[-1].shape for blocks in known):
        return known[-1]
    nodes, at = factors[-len(known) - 1 : -1], factors[-1]
    out = np.zeros_like(known[-1])
    for i, blocks in enumerate(known):
        others = np.delete(nodes, i)
        if np.any(others == nodes[i]):
            return known[-1]
        out += np.prod((at - others) / (nodes[i] - others)) * blocks
    return np.where(known[-1] != 0, out, 0.0)


def scaled(estimator: Any, factor: float) -> Any:
    """The estimator with all its strengths multiplied."""
    changed = clone(estimator)
    changed.set_params(**{name: factor * getattr(estimator, name) for name in estimator.strengths})
    return changed


def default_factors(model: Any, slope: Array, labels: Any, *, steps: int, ratio: float) -> Array:
    """Geometric from the factor at which all weights are zero."""
    blocks = model.regulariser(labels, slope.shape[1]).blocks
    top = max((block.critical(slope) for block in blocks), default=float("inf"))
    if not np.isfinite(top) or top <= 0:
        raise ConfigError(
            f"the weights of {type(model).__name__} with these strengths are not zero at any factor.", where="factors",
            do="Pass factors, for example np.logspace(3, -3, 20).",
        )  # fmt: skip
    return np.geomspace(top, top * ratio, steps)
