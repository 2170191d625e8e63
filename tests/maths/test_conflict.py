"""Gradient surgery, against the loops of the papers."""

from __future__ import annotations

import numpy as np
import pytest

from polytask.maths.conflict import raise_cosines, remove_conflicts


def data(n, P, seed):
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(n, P))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    return U, np.argsort(rng.random((n, n)), 1), rng


@pytest.mark.parametrize(("n", "P"), [(1, 2), (2, 2), (5, 3), (9, 20)])
def test_projections_are_those_of_the_loop(n, P):
    U, order, _ = data(n, P, n)
    expected = []
    for i in range(n):
        d = U[i].copy()
        for j in order[i]:
            if j != i and d @ U[j] < 0:
                d -= (d @ U[j]) * U[j]
        expected.append(d)
    np.testing.assert_allclose(remove_conflicts(U @ U.T, order) @ U, expected, atol=1e-12)


@pytest.mark.parametrize(("n", "P"), [(1, 2), (2, 2), (5, 3), (9, 20)])
def test_turned_vectors_are_those_of_the_loop(n, P):
    U, order, rng = data(n, P, n)
    targets = rng.uniform(-0.5, 0.9, size=(n, n))
    expected, cosines = [], targets.copy()
    for i in range(n):
        d = U[i].copy()
        for j in order[i]:
            if j == i:
                continue
            phi, m = d @ U[j] / np.linalg.norm(d), targets[i, j]
            cosines[i, j] = phi
            if phi < m:
                root = np.sqrt(1 - m * m)
                d = d + np.linalg.norm(d) * (m * np.sqrt(1 - phi * phi) - phi * root) / root * U[j]
                assert abs(d @ U[j] / np.linalg.norm(d) - m) < 1e-9
        expected.append(d)
    coefficients, met = raise_cosines(U @ U.T, targets, order)
    np.testing.assert_allclose(coefficients @ U, expected, atol=1e-9)
    np.testing.assert_allclose(met, cosines, atol=1e-9)


def test_a_target_of_one_stays_finite():
    C = np.array([[1.0, 0.0], [0.0, 1.0]])
    coefficients, _ = raise_cosines(C, np.ones((2, 2)), np.array([[0, 1], [1, 0]]))
    assert np.isfinite(coefficients).all()
    assert coefficients.max() < 1e5
