"""Quadratic programmes over non-negative numbers, against SciPy's least squares on the vectors themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import nnls as by_scipy

from polytask.maths.cone import dual_projections, nnls, nnls_residual, simplest_parts
from polytask.maths.gramian import Gramian, nearest_psd, roots
from polytask.maths.lockstep import active_sets

SHAPES = [(1, 3), (2, 5), (3, 2), (8, 20), (20, 60), (20, 7), (40, 120)]


def vectors(n, P, seed=0):
    return np.random.default_rng(seed).normal(size=(n, P))


def units(n, P, seed=0):
    J = vectors(n, P, seed)
    return J / np.linalg.norm(J, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "P"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_nnls_agrees_with_scipy(n, P, seed):
    U, target = units(n, P, seed), np.random.default_rng(seed + 9).normal(size=P)
    x = nnls(U @ U.T, -U @ target)
    expected, _ = by_scipy(U.T, target)
    np.testing.assert_allclose(U.T @ x, U.T @ expected, atol=1e-10)
    assert nnls_residual(U @ U.T, -U @ target, x) < 1e-10


@pytest.mark.parametrize(("n", "P"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_dual_projections_agree_with_scipy_row_by_row(n, P, seed):
    U = units(n, P, seed)
    parts = dual_projections(U @ U.T)
    assert (parts >= 0).all()
    for i in range(n):
        expected, _ = by_scipy(U.T, -U[i])
        np.testing.assert_allclose(U[i] + U.T @ parts[i], U[i] + U.T @ expected, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
def test_nearly_dependent_vectors_do_not_blow_up(noise):
    U = np.vstack([units(6, 4), -units(3, 4) + noise * vectors(3, 4, 1)])
    C = nearest_psd(Gramian.split(U @ U.T).cosines)
    parts = dual_projections(C)
    for i, row in enumerate(parts):
        assert np.isfinite(row).all()
        assert nnls_residual(C, C[i], row) < 1e-9


def test_a_guess_changes_nothing_but_the_time():
    U = units(12, 30)
    H, c = U @ U.T, -U @ vectors(1, 30, 5)[0]
    plain = nnls(H, c)
    for guess in (plain > 0, plain == 0, np.ones(12, dtype=bool)):
        np.testing.assert_allclose(nnls(H, c, guess), plain, atol=1e-12)


def test_equal_vectors_share_equally():
    u = units(1, 5)[0]
    U = np.stack([u, u, u])
    np.testing.assert_allclose(nnls(U @ U.T, -U @ (6 * u)), [2.0, 2.0, 2.0], atol=1e-9)


def test_nothing_to_gain_is_zero():
    np.testing.assert_array_equal(nnls(np.eye(3), np.array([1.0, 0.0, 2.0])), np.zeros(3))


def test_simplest_parts_keep_the_sum_and_do_not_depend_on_the_order():
    U = units(20, 4)
    C = U @ U.T
    parts = np.random.default_rng(3).random(20)
    simple = simplest_parts(C, parts)
    np.testing.assert_allclose(U.T @ simple, U.T @ parts, atol=1e-9)
    order = np.random.default_rng(4).permutation(20)
    np.testing.assert_allclose(simplest_parts(C[np.ix_(order, order)], parts[order]), simple[order], atol=1e-9)
    assert (simple > 0).sum() <= 4


def test_independent_parts_are_left_alone():
    parts = np.array([1.0, 2.0, 3.0])
    assert simplest_parts(np.eye(3), parts) is parts


@pytest.mark.parametrize("spread", [1e-150, 1e-10, 1.0, 1e10, 1e150])
def test_a_gramian_is_split_at_any_scale(spread):
    J = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])
    split = Gramian.split(J @ J.T * spread * spread)
    np.testing.assert_allclose(split.norms, [5 * spread, 2 * spread])
    np.testing.assert_allclose(split.cosines, [[1.0, 0.8], [0.8, 1.0]])
    assert split.alive.tolist() == [True, False, True]
    assert split.spread(np.array([7.0, 8.0]), -1.0).tolist() == [7.0, -1.0, 8.0]


def test_negative_eigenvalues_of_rounding_are_cut():
    C = np.array([[1.0, 0.9999, -0.9999], [0.9999, 1.0, -1.0], [-0.9999, -1.0, 1.0]])
    C[0, 1] = C[1, 0] = 0.9989
    assert np.linalg.eigvalsh(C)[0] < -1e-4
    fixed = nearest_psd(C)
    assert np.linalg.eigvalsh(fixed)[0] > -1e-15
    assert np.abs(fixed - C).max() < 1e-3
    assert nearest_psd(np.eye(3)) is not None


def test_roots_are_the_numerical_rank():
    U = np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]])
    values, of = roots(U @ U.T, np.finfo(np.float64).eps)
    assert len(values) == 2
    np.testing.assert_allclose((of * values) @ of.T, U @ U.T, atol=1e-14)


@pytest.mark.parametrize(("n", "P"), SHAPES)
def test_problems_in_lockstep_have_the_active_sets_of_one_at_a_time(n, P):
    U = units(n, P)
    C = U @ U.T + 1e-9 * np.eye(n)  # unique
    c = -U @ vectors(7, P, 3).T
    inside = active_sets(C, c.T, 1e-12)
    for problem in range(7):
        np.testing.assert_array_equal(inside[problem], nnls(C, c[:, problem]) > 0)
