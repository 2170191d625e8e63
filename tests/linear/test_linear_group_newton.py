"""The solver of joint feature selection against dense algebra, finite differences, other solvers and cold starts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Lasso, MultiTaskLasso

from polytask import linear
from polytask.linear.arrays import column_norms
from polytask.linear.coordinate_descent import suits_descent
from polytask.linear.design import SharedDesign, SparseDesign, StackedDesign
from polytask.linear.fista import Solution, fista
from polytask.linear.group_curvature import BlockInverse, Curvature, Frames
from polytask.linear.group_newton import Memory, newton_groups
from polytask.linear.penalties import FeatureGroups
from polytask.linear.problem import near_zero
from polytask.linear.regularisation_path import extrapolated
from polytask.linear.working_set import solve_feature_groups


def tables(tasks: int, rows: int, d: int, seed: int = 0, centre: float = 0.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(tasks), rng.integers(max(1, rows // 2), 2 * rows, size=tasks)))
    X = rng.normal(size=(len(labels), d)) + centre
    W = rng.normal(size=(tasks, d)) * (np.arange(d) < max(2, d // 4))
    return X, np.einsum("ij,ij->i", X, W[labels]) + rng.normal(size=len(labels)), labels


def dense_hessian(gram: np.ndarray, W: np.ndarray, strength: float) -> np.ndarray:
    """The Hessian over the flattened (T, d) weights, feature by feature."""
    tasks, d = W.shape
    out = np.zeros((tasks, d, tasks, d))
    for t in range(tasks):
        out[t, :, t, :] = gram[t % len(gram)]
    for j in range(d):
        length = np.linalg.norm(W[:, j])
        u = W[:, j] / length
        out[:, j, :, j] += strength / length * (np.eye(tasks) - np.outer(u, u))
    return out.reshape(tasks * d, tasks * d)


@pytest.mark.parametrize("grams", [1, 4])
def test_the_exact_inverse_is_one(grams):
    rng = np.random.default_rng(grams)
    half = rng.normal(size=(grams, 12, 5))
    gram, W = half.transpose(0, 2, 1) @ half, rng.normal(size=(4, 5))
    curvature = Curvature.at(W, column_norms(W), 3.0)
    R = rng.normal(size=(4, 5))
    found = BlockInverse.build(gram, curvature).apply(R, curvature.used, Frames(np.einsum("tjj->tj", gram), curvature))
    np.testing.assert_allclose(found.ravel(), np.linalg.solve(dense_hessian(gram, W, 3.0), R.ravel()), rtol=1e-6)


def test_the_curvature_of_the_norms_is_the_derivative_of_their_slope():
    rng = np.random.default_rng(1)
    W, P, h = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), 1e-6
    slopes = [2.0 * V / column_norms(V) for V in (W - h * P, W + h * P)]
    found = Curvature.at(W, column_norms(W), 2.0).add(P, np.zeros_like(P))
    np.testing.assert_allclose(found, (slopes[1] - slopes[0]) / (2 * h), atol=1e-7)


def test_features_that_are_not_in_use_stay_out_of_the_preconditioners():
    rng = np.random.default_rng(2)
    half = rng.normal(size=(4, 12, 5))
    gram, W = half.transpose(0, 2, 1) @ half, rng.normal(size=(4, 5))
    early = W * [1, 1, 0, 1, 0]
    late = W * [1, 0, 1, 1, 0]
    inverse = BlockInverse.build(gram, Curvature.at(early, column_norms(early), 1.0))
    now = Curvature.at(late, column_norms(late), 1.0)
    frames = Frames(np.einsum("tjj->tj", gram), now)
    eye = np.eye(20).reshape(20, 4, 5)
    for apply in (frames.apply, lambda R: inverse.apply(R, now.used, frames)):
        M = np.array([apply(e).ravel() for e in eye])
        np.testing.assert_allclose(M, M.T, atol=1e-12)
        values = np.linalg.eigvalsh(M)
        assert np.sum(values > 1e-6) == 12  # positive definite on 3 features of 4 tasks, zero on the other two
        np.testing.assert_allclose(values[:8], 0, atol=1e-12)


@pytest.mark.parametrize("share", [0.7, 0.1, 0.001])
@pytest.mark.parametrize("shape", [(1, 12, 20), (3, 30, 5), (7, 4, 12), (20, 9, 90)])
def test_newton_ends_where_proximal_gradients_end(shape, share):
    X, y, labels = tables(*shape)
    model = linear.JointFeature()
    problem = model.problem(model.read(X, y, labels, None))
    loss, scale = problem.loss, problem.scale
    penalty = FeatureGroups(share * model.lambda_max(X, y, labels))
    slow = fista(loss, [penalty], np.zeros((1, *loss.shape)), tol=1e-9, max_iter=200_000, scale=scale)
    fast = solve_feature_groups(loss, penalty, np.zeros(loss.shape), tol=1e-8, max_iter=20_000, scale=scale)
    assert slow.residual <= 1e-9
    assert fast.residual <= 1e-8
    assert fast.objective == pytest.approx(slow.objective, rel=1e-8)


@pytest.mark.parametrize("share", [0.7, 0.1, 0.001])
def test_newton_takes_few_products(share):
    """Proximal gradients take hundreds here."""
    X, y, labels = tables(20, 60, 12, seed=11)
    model = linear.JointFeature()
    problem = model.problem(model.read(X, y, labels, None))
    strength, here = share * model.lambda_max(X, y, labels), problem.loss.at(np.zeros(problem.loss.shape))
    options = {"tol": 1e-8, "max_iter": 1000, "scale": problem.scale, "memory": Memory()}
    found = newton_groups(problem.loss, strength, here, **options)
    assert found.residual <= 1e-8
    assert found.iterations < 80


@pytest.mark.parametrize("share", [0.5, 0.05, 0.001])
def test_one_task_with_more_features_than_rows_is_the_lasso(share):
    X, y, labels = tables(1, 20, 70, seed=3)
    model = linear.JointFeature(share * linear.JointFeature().lambda_max(X, y, labels), tol=1e-10).fit(X, y, labels)
    lasso = Lasso(model.strength / len(y), tol=1e-13, max_iter=1_000_000).fit(X, y)
    np.testing.assert_allclose(model.predict(X, labels), lasso.predict(X), atol=1e-6)
    assert model.residual_ <= 1e-10


@pytest.mark.parametrize("centre", [0.0, 1.0, 1e3])
@pytest.mark.parametrize("shape", [(300, 40, 4), (40, 300, 4)])
def test_centres_do_not_matter_with_one_x(shape, centre):
    n, d, tasks = shape
    rng = np.random.default_rng(4)
    X = rng.normal(size=(n, d))
    Y = X[:, :5] @ rng.normal(size=(5, tasks)) + rng.normal(size=(n, tasks))
    ours = linear.JointFeature(0.1, loss_scaling="mean", tol=1e-9).fit(X + centre, Y + centre)
    theirs = MultiTaskLasso(0.1, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X + centre), theirs.predict(X) + centre, atol=1e-5)
    assert ours.residual_ <= 1e-9


def test_rows_are_moved_only_where_digits_would_be_lost():
    X = np.random.default_rng(5).normal(size=(1000, 3))
    means = X.mean(axis=0, keepdims=True)
    assert near_zero(X, means)[0] is X
    for shift in ([100.0, 0, 0], [1e8, 1, 1]):
        moved, inside = near_zero(X + shift, means + shift)
        np.testing.assert_allclose(moved.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(inside, 0, atol=1e-6)
    constant = np.column_stack([X, np.full(1000, 7.0)])
    assert near_zero(constant, constant.mean(axis=0, keepdims=True))[0] is not constant


def test_many_features_and_few_rows_are_descended_by_coordinates():
    rng = np.random.default_rng(6)
    X = rng.normal(size=(30, 200))
    Y = X[:, :4] @ rng.normal(size=(4, 3)) + rng.normal(size=(30, 3))
    model = linear.JointFeature(2.0, tol=1e-9)
    assert suits_descent(model.problem(model.read(X, Y, None, None)).loss)
    model.fit(X, Y)
    slope = (Y - model.predict(X)).T @ (X - X.mean(axis=0))
    used = column_norms(model.coef_) > 0
    np.testing.assert_allclose(slope[:, used], 2 * model.coef_[:, used] / column_norms(model.coef_[:, used]), atol=1e-6)
    assert 3 < used.sum() < 100
    assert np.all(column_norms(slope[:, ~used]) <= 2 + 1e-6)


@pytest.mark.parametrize("cls", [linear.JointFeature, linear.TraceNorm, linear.Dirty, linear.RobustFeature])
def test_a_path_is_as_good_as_cold_fits(cls):
    X, y, labels = tables(6, 25, 8, seed=7)
    path = cls(tol=1e-8, max_iter=100_000).path(X, y, labels, steps=12)
    assert path.residuals.max() <= 1e-8
    model = cls()
    for factor, value in zip(path.factors, path.objectives, strict=True):
        strengths = {name: factor * getattr(model, name) for name in model.strengths}
        cold = cls(**strengths, tol=1e-8, max_iter=100_000).fit(X, y, labels)
        assert value == pytest.approx(cold.objective_, rel=1e-9)


@pytest.mark.parametrize("shape", [(5, 10, 100), (40, 20, 6)])
def test_a_path_of_joint_features_is_optimal_at_every_strength(shape):
    X, y, labels = tables(*shape, seed=8)
    path = linear.JointFeature(tol=1e-9).path(X, y, labels, steps=20)
    assert path.residuals.max() <= 1e-9
    for factor, coef, level in zip(path.factors, path.coefs, path.intercepts, strict=True):
        rest = y - np.einsum("ij,ij->i", X, coef[labels]) - level[labels]
        slope = np.array([X[labels == t].T @ rest[labels == t] for t in range(shape[0])])
        lengths, used = column_norms(coef), np.any(coef != 0, axis=0)
        atol = 1e-7 * column_norms(slope).max() + 1e-6
        np.testing.assert_allclose(slope[:, used], factor * coef[:, used] / lengths[used], atol=atol)
        assert np.all(column_norms(slope[:, ~used]) <= factor + atol)


def test_extrapolation_is_exact_for_polynomials():
    factors = np.array([8.0, 4.0, 2.0, 1.0])
    curve = [np.array([[[1 + 2 * f - f**2, 0.0 if f == 2 else 5.0]]]) for f in factors]
    found = [Solution(blocks, 0.0, 1) for blocks in curve]
    assert extrapolated([], factors[:1]) is None
    np.testing.assert_array_equal(extrapolated(found[:1], factors[:2]), curve[0])
    np.testing.assert_allclose(
        extrapolated(found[:2], factors[:3])[0, 0, 0], curve[1][0, 0, 0] - (curve[0] - curve[1])[0, 0, 0] / 2
    )
    np.testing.assert_allclose(extrapolated(found[:3], factors), [[[2.0, 0.0]]])  # what is zero stays zero


@pytest.mark.parametrize("weights", ["ones", "alike", "own"])
def test_gram_matrices_of_all_designs(weights):
    X, y, labels = tables(4, 9, 3, seed=9)
    rng = np.random.default_rng(0)
    weight = {"ones": np.ones(len(y)), "alike": np.full(len(y), 0.3), "own": rng.uniform(0, 2, size=len(y))}[weights]
    means = rng.normal(size=(4, 3))
    parts = [X[labels == t] - means[t] for t in range(4)]
    truth = np.stack([x.T @ (x * weight[labels == t, None]) for t, x in enumerate(parts)])
    codes = labels.astype(np.intp)
    shared = SharedDesign(X, means[:1], 4)
    whole = (X - means[0]).T @ ((X - means[0]) * weight[:, None])
    for design, expected in (
        (StackedDesign.build(X, codes, 4).centred(means), truth),
        (SparseDesign(sp.csr_array(X), codes, means), truth),
        (shared, whole[None]),
        (SharedDesign(sp.csr_array(X), means[:1], 4), whole[None]),
    ):
        laid = weight[:, None] if isinstance(design, SharedDesign) else design.lay(weight)
        np.testing.assert_allclose(design.gram(laid), expected, atol=1e-10)
        np.testing.assert_allclose(design.squares(laid), np.einsum("tjj->tj", expected), atol=1e-10)
    for column in (
        shared.columns(np.array([2])),
        SharedDesign(np.asfortranarray(X), means[:1], 4).columns(np.array([2])),
    ):
        np.testing.assert_allclose(column.gram(weight[:, None]), whole[None, 2:, 2:], atol=1e-10)


def test_features_of_very_different_scales():
    X, y, labels = tables(8, 30, 10, seed=10)
    scales = np.logspace(-4, 4, 10)
    for share in (0.3, 1e-4):
        strength = share * linear.JointFeature().lambda_max(X * scales, y, labels)
        assert linear.JointFeature(strength, tol=1e-9, max_iter=100_000).fit(X * scales, y, labels).residual_ <= 1e-9
