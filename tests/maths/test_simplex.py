"""The shortest convex combination, against SciPy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls as by_scipy

from polytask.maths.simplex import min_norm, min_norm_residual


def solve(J):
    norms = np.linalg.norm(J, axis=1)
    U = J / norms[:, None]
    return min_norm(U @ U.T, norms), U @ U.T, norms


@pytest.mark.parametrize(("n", "P"), [(2, 3), (3, 2), (8, 20), (20, 60), (40, 13), (40, 120)])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_scipy(n, P, seed):
    J = np.random.default_rng(seed).normal(size=(n, P))
    w, cosines, norms = solve(J)
    x, _ = by_scipy(np.vstack([J.T, np.ones(n)]), np.append(np.zeros(P), 1.0))  # |J'x|^2 + (sum x - 1)^2
    np.testing.assert_allclose(J.T @ w, J.T @ (x / x.sum()), atol=1e-9)
    assert min_norm_residual(cosines, norms, w) < 1e-10


@pytest.mark.parametrize("ratio", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_two_vectors_have_a_closed_form(ratio):
    J = np.array([[1.0, 0.5], [-0.4, 1.0]]) * [[1.0], [ratio]]
    G = J @ J.T
    expected = np.clip((G[1, 1] - G[0, 1]) / (G[0, 0] + G[1, 1] - 2 * G[0, 1]), 0, 1)
    w, _, _ = solve(J)
    np.testing.assert_allclose(w, [expected, 1 - expected], rtol=1e-9)


def test_a_simplex_around_the_origin_reaches_it():
    J = np.array([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    w, _, _ = solve(J)
    np.testing.assert_allclose(w, [0.5, 0.25, 0.25], atol=1e-10)


def test_a_wrong_point_has_a_residual():
    J = np.random.default_rng(0).normal(size=(4, 9))
    w, cosines, norms = solve(J)
    assert min_norm_residual(cosines, norms, w) < 1e-11
    assert min_norm_residual(cosines, norms, np.full(4, 0.25)) > 1e-3
