"""The best worst gain in a ball, against SciPy and by its geometry."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from polytask.maths.ball import best_worst_gain, worst_gain_residual


def solve(J, radius):
    norms = np.linalg.norm(J, axis=1)
    C = (J / norms[:, None]) @ (J / norms[:, None]).T
    centre = norms / len(J)
    z = best_worst_gain(C, norms, centre, radius)
    return J.mean(0) + (z / norms) @ J, worst_gain_residual(C, norms, centre, radius, z)


@pytest.mark.parametrize(("n", "P"), [(2, 3), (3, 4), (8, 20), (20, 60), (40, 120)])
@pytest.mark.parametrize("radius", [0.1, 0.5, 1.5])
def test_it_lies_on_the_ball_and_satisfies_its_conditions(n, P, radius):
    J = np.random.default_rng(n).normal(size=(n, P)) + 0.1
    d, residual = solve(J, radius)
    g0 = J.mean(0)
    np.testing.assert_allclose(np.linalg.norm(d - g0), radius * np.linalg.norm(g0), rtol=1e-9)
    assert residual < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_the_worst_gain_is_that_of_a_general_solver(seed):
    J = np.random.default_rng(seed).normal(size=(4, 6))
    g0 = J.mean(0)
    r = 0.5 * np.linalg.norm(g0)
    d, _ = solve(J, 0.5)

    def dual(w):  # min over the simplex of w'J g0 + r |J'w| is the largest worst gain
        return w @ J @ g0 + r * np.sqrt(w @ J @ J.T @ w)

    best = minimize(
        dual,
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    np.testing.assert_allclose((J @ d).min(), best.fun, rtol=1e-6)


def test_norms_a_million_apart():
    J = np.random.default_rng(0).normal(size=(5, 9)) * np.logspace(-3, 3, 5)[:, None]
    _, residual = solve(J, 0.5)
    assert residual < 1e-9


def test_a_ball_of_radius_zero_adds_nothing():
    J = np.array([[1.0, 2.0], [-1.0, -2.0]])
    d, residual = solve(J, 0.5)
    np.testing.assert_allclose(d, 0.0, atol=1e-15)
    assert np.isnan(residual)


def test_a_ball_that_reaches_zero_where_no_direction_serves_all():
    J = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])  # around the origin
    d, _ = solve(J, 1.5)
    np.testing.assert_allclose(d, 0.0, atol=1e-6)
