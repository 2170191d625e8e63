"""The Gaussian process of several tasks against formulas written out, scikit-learn, and the reference's vectors."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from linear_problems import VECTORS, make
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from polytask import linear
from polytask.errors import MissingExtraError
from polytask.linear import coregionalisation

DATA = make([14, 9, 17], 3, 60)
CODES = np.unique(DATA.tasks, return_inverse=True)[1]
B = np.array([[2.0, 0.8, -0.5], [0.8, 1.0, 0.1], [-0.5, 0.1, 1.5]])
NOISE = np.array([0.3, 0.1, 0.5])
SCALE = np.array([1.2, 0.7, 2.0])
NEW = np.random.default_rng(1).normal(size=(6, 3))


def fixed(**changes):
    given = {"lengthscale": SCALE, "task_covariance": B, "noise": NOISE} | changes
    return linear.TaskGaussianProcess(**given)


def rbf(X, Z, scale=SCALE):
    return np.exp(-0.5 * np.square((X[:, None] - Z[None]) / scale).sum(axis=2))


def test_vector_of_a_block_design():
    inputs, expected = (VECTORS["icm_gp"][0][key] for key in ("inputs", "expected"))
    model = linear.TaskGaussianProcess(
        lengthscale=inputs["lengthscale"], task_covariance=inputs["B"], noise=inputs["noise_var_per_task"],
        fit_intercept=False,
    )  # fmt: skip
    model.fit(np.array(inputs["x"])[:, None], np.array(inputs["Y_points_by_tasks"]))
    at = np.array(inputs["xq"])[:, None]
    mean, std = model.predict(at, return_std=True)
    np.testing.assert_allclose(mean[0], expected["mean"], atol=1e-9)
    np.testing.assert_allclose(np.square(std[0]), np.diag(expected["cov"]), atol=1e-9)
    both, cov = model.predict(np.repeat(at, 2, axis=0), [0, 1], return_cov=True)
    np.testing.assert_allclose(both, expected["mean"], atol=1e-9)
    np.testing.assert_allclose(cov, expected["cov"], atol=1e-9)
    assert model.log_marginal_likelihood_ == pytest.approx(expected["log_marginal"], abs=1e-9)


def test_without_noise_a_block_design_transfers_nothing():
    inputs, expected = (VECTORS["icm_gp"][1][key] for key in ("inputs", "expected"))
    X, Y, at = np.array(inputs["x"])[:, None], np.array(inputs["Y"]), np.array(inputs["xq"])[:, None]
    given = {"lengthscale": inputs["lengthscale"], "noise": 0.0, "fit_intercept": False}
    together = linear.TaskGaussianProcess(task_covariance=inputs["B"], **given).fit(X, Y)
    apart = linear.TaskGaussianProcess(task_covariance=np.diag(np.diag(inputs["B"])), **given).fit(X, Y)
    np.testing.assert_allclose(together.predict(at)[0], expected["mean"], atol=1e-8)
    np.testing.assert_allclose(apart.predict(at)[0], expected["independent_gp_mean"], atol=1e-8)


@pytest.mark.parametrize("latent", [1, 2])
def test_posterior_is_the_formula_with_different_inputs_per_task(latent):
    scales = np.array([SCALE, [0.3, 3.0, 1.0]])[:latent]
    matrices = np.array([B, np.full((3, 3), 0.4)])[:latent]
    model = fixed(latent=latent, lengthscale=scales, task_covariance=matrices, fit_intercept=False)
    model.fit(DATA.X, DATA.y, DATA.tasks)
    to = np.array([0, 1, 2, 0, 1, 2])

    def cov(X, s, Z, t):
        return sum(rbf(X, Z, scale) * M[np.ix_(s, t)] for scale, M in zip(scales, matrices, strict=True))

    K = cov(DATA.X, CODES, DATA.X, CODES) + np.diag(NOISE[CODES])
    cross = cov(NEW, to, DATA.X, CODES)
    mean, std = model.predict(NEW, model.tasks_[to], return_std=True)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(K, DATA.y), atol=1e-10)
    whole = cov(NEW, to, NEW, to) - cross @ np.linalg.solve(K, cross.T)
    np.testing.assert_allclose(np.square(std), np.diag(whole), atol=1e-10)
    np.testing.assert_allclose(model.predict(NEW, model.tasks_[to], return_cov=True)[1], whole, atol=1e-10)
    assert model.log_marginal_likelihood_ == pytest.approx(multivariate_normal(cov=K).logpdf(DATA.y), rel=1e-10)
    np.testing.assert_allclose(model.task_covariance_, matrices.sum(axis=0))


def test_intercepts_are_the_limit_of_a_wide_prior():
    wide = 1e7
    K = rbf(DATA.X, DATA.X) * B[np.ix_(CODES, CODES)] + np.diag(NOISE[CODES])
    flat = K + wide * (CODES[:, None] == CODES)
    model = fixed().fit(DATA.X, DATA.y, DATA.tasks)
    to = np.array([0, 1, 2, 0, 1, 2])
    cross = rbf(NEW, DATA.X) * B[np.ix_(to, CODES)] + wide * (to[:, None] == CODES)
    prior = rbf(NEW, NEW) * B[np.ix_(to, to)] + wide * (to[:, None] == to)
    mean, cov = model.predict(NEW, model.tasks_[to], return_cov=True)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(flat, DATA.y), atol=1e-4)
    np.testing.assert_allclose(cov, prior - cross @ np.linalg.solve(flat, cross.T), atol=1e-4)
    limit = multivariate_normal(cov=flat).logpdf(DATA.y) + 1.5 * np.log(2 * np.pi * wide)  # T / 2 = 1.5
    assert model.log_marginal_likelihood_ == pytest.approx(limit, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("rbf", RBF(SCALE)), *((f"matern{2 * nu:.0f}2", Matern(SCALE, nu=nu)) for nu in (0.5, 1.5, 2.5))],
)
def test_one_task_is_scikit_learns_gaussian_process(name, kernel):
    theirs = GaussianProcessRegressor(ConstantKernel(1.7) * kernel, alpha=0.2, optimizer=None).fit(DATA.X, DATA.y)
    ours = fixed(kernel=name, task_covariance=[[1.7]], noise=0.2, fit_intercept=False).fit(DATA.X, DATA.y)
    for one, other in zip(ours.predict(NEW, return_std=True), theirs.predict(NEW, return_std=True), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    assert ours.log_marginal_likelihood_ == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-10)


def test_one_task_learns_what_scikit_learn_learns():
    rng = np.random.default_rng(2)
    X = rng.uniform(-3, 3, size=(60, 2))
    y = np.sin(1.5 * X[:, 0]) + 0.1 * rng.normal(size=60)
    ours = linear.TaskGaussianProcess(fit_intercept=False).fit(X, y)
    kernel = ConstantKernel() * RBF([1.0, 1.0], (1e-2, 1e3)) + WhiteKernel()
    theirs = GaussianProcessRegressor(kernel, n_restarts_optimizer=3, random_state=0)
    with warnings.catch_warnings():  # the feature that does not matter reaches its bound
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
    assert ours.log_marginal_likelihood_ == pytest.approx(theirs.log_marginal_likelihood_value_, abs=0.02)
    grid = rng.uniform(-2.5, 2.5, size=(50, 2))
    np.testing.assert_allclose(ours.predict(grid), theirs.predict(grid), atol=0.01)


def test_independent_tasks_are_processes_of_their_own():
    model = fixed(task_covariance=np.diag([2.0, 1.0, 1.5]), fit_intercept=False).fit(DATA.X, DATA.y, DATA.tasks)
    total = 0.0
    for t, task in enumerate(model.tasks_):
        rows = DATA.tasks == task
        alone = GaussianProcessRegressor(
            ConstantKernel([2.0, 1.0, 1.5][t]) * RBF(SCALE), alpha=NOISE[t], optimizer=None
        )
        alone.fit(DATA.X[rows], DATA.y[rows])
        np.testing.assert_allclose(model.predict(NEW, [task] * 6), alone.predict(NEW), atol=1e-10)
        total += alone.log_marginal_likelihood_value_
    assert model.log_marginal_likelihood_ == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("kernel", coregionalisation.KERNELS)
@pytest.mark.parametrize("latent", [1, 2])
@pytest.mark.parametrize("intercept", [True, False])
def test_what_is_learned_is_a_maximum_of_the_likelihood(kernel, latent, intercept):
    """The likelihood of ``condition``, numpy only, at the point that gpytorch's kernels led to, and around it."""
    options = {"kernel": kernel, "latent": latent, "fit_intercept": intercept, "max_iter": 5000}
    model = linear.TaskGaussianProcess(**options).fit(DATA.X, DATA.y, DATA.tasks)

    def likelihood(scale, covariance, noise):
        given = {"lengthscale": scale, "task_covariance": covariance, "noise": noise}
        return linear.TaskGaussianProcess(**options, **given).fit(DATA.X, DATA.y, DATA.tasks).log_marginal_likelihood_

    best = model.lengthscale_, model.latent_covariances_, model.noise_
    assert likelihood(*best) == pytest.approx(model.log_marginal_likelihood_, rel=1e-12)
    for part in range(3):
        for index in np.ndindex(best[part].shape):
            for factor in (0.98, 1.02):
                moved = [value.copy() for value in best]
                moved[part][index] *= factor
                if part == 1 and (index[1] != index[2] or np.linalg.eigvalsh(moved[1][index[0]])[0] < 0):
                    continue  # not of the form C C' + diag(v) any more
                if (part == 2 and best[2][index] < 1e-4) or (part == 0 and best[0][index] > 800):
                    continue  # at a bound: no noise, or a feature that does not matter
                assert likelihood(*moved) <= model.log_marginal_likelihood_ + 1e-3


def test_relations_are_found_and_help_a_task_with_few_rows():
    rng = np.random.default_rng(3)
    sizes = [40, 5]
    tasks = np.repeat(["much", "little"], sizes)
    X = rng.uniform(-3, 3, size=(45, 1))
    y = np.where(tasks == "much", 1.0, -2.0) * np.sin(2 * X[:, 0]) + 0.05 * rng.normal(size=45)
    at = np.linspace(-2.5, 2.5, 40)[:, None]
    truth = -2 * np.sin(2 * at[:, 0])
    together = linear.TaskGaussianProcess(restarts=2).fit(X, y, tasks)
    alone = linear.TaskGaussianProcess(restarts=2).fit(X[tasks == "little"], y[tasks == "little"])
    error = np.abs(together.predict(at, ["little"] * 40) - truth).mean()
    assert error < 0.15
    assert error < 0.3 * np.abs(alone.predict(at) - truth).mean()
    little, much = together.task_covariance_  # sorted labels
    assert little[1] / np.sqrt(little[0] * much[1]) < -0.9


def test_whole_weights_are_repeated_rows():
    weight = np.random.default_rng(5).integers(1, 4, size=40)
    again = np.repeat(np.arange(40), weight)
    weighted = linear.TaskGaussianProcess(noise=NOISE).fit(DATA.X, DATA.y, DATA.tasks, sample_weight=weight)
    repeated = linear.TaskGaussianProcess(noise=NOISE).fit(DATA.X[again], DATA.y[again], DATA.tasks[again])
    assert weighted.log_marginal_likelihood_ == pytest.approx(repeated.log_marginal_likelihood_, abs=1e-3)
    args = NEW, np.repeat(weighted.tasks_, 2)
    for one, other in zip(
        weighted.predict(*args, return_std=True), repeated.predict(*args, return_std=True), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-2)  # the maximum is flat
    given = [fixed().fit(DATA.X[i], DATA.y[i], DATA.tasks[i], w) for i, w in ((slice(None), weight), (again, None))]
    assert given[0].log_marginal_likelihood_ == pytest.approx(given[1].log_marginal_likelihood_, rel=1e-9)
    np.testing.assert_allclose(given[0].predict(*args), given[1].predict(*args), atol=1e-9)


def test_forms_of_input_agree():
    rng = np.random.default_rng(6)
    X, Y = rng.normal(size=(15, 3)), rng.normal(size=(15, 3))
    Y[rng.random(Y.shape) < 0.3] = np.nan
    known = ~np.isnan(Y)
    rows = [X[k] for k in known.T]
    labels = [Y[k, t] for t, k in enumerate(known.T)]
    tasks = np.repeat(np.arange(3), known.sum(axis=0))
    columns = fixed().fit(X, Y)
    lists = fixed().fit(rows, labels)
    stacked = fixed().fit(sp.csr_array(np.concatenate(rows)), np.concatenate(labels), tasks)
    mean, std = columns.predict(NEW, return_std=True)
    assert mean.shape == std.shape == (6, 3)
    for t in range(3):
        for other in (stacked.predict(sp.csr_array(NEW), [t] * 6, return_std=True),):
            np.testing.assert_allclose(other, (mean[:, t], std[:, t]), atol=1e-10)
    means, stds = lists.predict([NEW] * 3, return_std=True)
    np.testing.assert_allclose(np.stack(means, axis=1), mean, atol=1e-10)
    np.testing.assert_allclose(np.stack(stds, axis=1), std, atol=1e-10)
    with pytest.raises(ValueError, match=r"return_cov: .*pass tasks"):
        columns.predict(NEW, return_cov=True)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_units_of_labels_and_features_do_not_matter(scale):
    one = linear.TaskGaussianProcess(max_iter=20)
    other = linear.TaskGaussianProcess(max_iter=20)
    with pytest.warns(ConvergenceWarning, match="still rising after 20 iterations"):
        one.fit(DATA.X, DATA.y, DATA.tasks)
    with pytest.warns(ConvergenceWarning):
        other.fit(DATA.X / scale, scale * DATA.y, DATA.tasks)
    tasks = np.repeat(one.tasks_, 2)
    np.testing.assert_allclose(other.predict(NEW / scale, tasks) / scale, one.predict(NEW, tasks), rtol=1e-4)
    np.testing.assert_allclose(other.noise_ / scale**2, one.noise_, rtol=1e-3)


def test_fitting_is_deterministic_and_leaves_torch_alone():
    before, dtype = torch.get_rng_state(), torch.get_default_dtype()
    options = {"latent": 2, "restarts": 1, "random_state": 3}
    one, two = (linear.TaskGaussianProcess(**options).fit(DATA.X, DATA.y, DATA.tasks) for _ in range(2))
    assert np.array_equal(one.predict(NEW, ["t0"] * 6), two.predict(NEW, ["t0"] * 6))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_default_dtype() == dtype
    first = linear.TaskGaussianProcess(latent=2).fit(DATA.X, DATA.y, DATA.tasks)
    assert one.log_marginal_likelihood_ >= first.log_marginal_likelihood_ - 2  # other starts, no far worse end


def test_predicting_needs_neither_torch_nor_gpytorch(tmp_path):
    model = linear.TaskGaussianProcess().fit(DATA.X, DATA.y, DATA.tasks)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    code = (
        "import pickle, pathlib, sys, numpy as np\n"
        "model = pickle.loads(pathlib.Path('model.pickle').read_bytes())\n"
        "print(model.predict(np.zeros((1, 3)), ['t1'])[0], 'torch' in sys.modules, 'gpytorch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    value, *imported = out.stdout.split()
    assert float(value) == pytest.approx(model.predict(np.zeros((1, 3)), ["t1"])[0])
    assert imported == ["False", "False"]


def test_a_missing_extra_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpytorch", None)
    fixed().fit(DATA.X, DATA.y, DATA.tasks)  # nothing to learn, nothing needed
    with pytest.raises(MissingExtraError, match=r"polytask\[gp\]"):
        linear.TaskGaussianProcess().fit(DATA.X, DATA.y, DATA.tasks)


def test_unseen_task_gets_the_mean_of_the_functions():
    model = fixed(unseen="warn").fit(DATA.X, DATA.y, DATA.tasks)
    every = np.mean([model.predict(NEW, [t] * 6) for t in model.tasks_], axis=0)
    with pytest.warns(UserWarning, match="shared part"):
        mean, std = model.predict(NEW, ["new"] * 6, return_std=True)
    np.testing.assert_allclose(mean, every, atol=1e-10)
    own = np.trace(B) / 3 - B.mean()  # how far tasks are from their mean
    assert np.all(std >= np.sqrt(own))


def test_what_is_given_is_held():
    part = linear.TaskGaussianProcess(noise=0.25, ard=False).fit(DATA.X, DATA.y, DATA.tasks)
    np.testing.assert_allclose(part.noise_, 0.25, rtol=1e-12)
    ratios = part.lengthscale_[0] / DATA.X.std(axis=0)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-12)
    part = linear.TaskGaussianProcess(task_covariance=B).fit(DATA.X, DATA.y, DATA.tasks)
    np.testing.assert_allclose(part.task_covariance_, B, rtol=1e-12)
    part = linear.TaskGaussianProcess(lengthscale=2.0).fit(DATA.X, DATA.y, DATA.tasks)
    np.testing.assert_allclose(part.lengthscale_, 2.0, rtol=1e-12)


HARD = {
    "one row": ([[1.0, 2.0]], [3.0], ["a"]),
    "a row per task": (np.eye(3), [1.0, 2.0, 3.0], ["a", "b", "c"]),
    "constant labels": (np.eye(4), [1.0, 1.0, 1.0, 1.0], list("aabb")),
    "constant feature": (np.column_stack([np.arange(6.0), np.full(6, 7.0)]), np.arange(6.0) ** 2, list("aaabbb")),
    "equal rows": (np.ones((6, 2)), np.arange(6.0), list("aaabbb")),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_input(case):
    X, y, tasks = HARD[case]
    model = linear.TaskGaussianProcess(max_iter=500).fit(X, y, tasks)
    mean, std = model.predict(X, tasks, return_std=True)
    assert np.all(np.isfinite(mean))
    assert np.all(np.isfinite(std))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": "cubic"}, "kernel: expected one of"),
        ({"rank": 4}, "rank: expected a whole number from 1 to 3, found 4"),
        ({"latent": 0}, "latent: expected"),
        ({"restarts": -1}, "restarts: expected"),
        ({"max_iter": 1.5}, "max_iter: expected"),
        ({"lengthscale": 0.0}, "lengthscale: expected positive"),
        ({"lengthscale": [1.0, 2.0]}, r"lengthscale: expected a number or an array \(1, 3\)"),
        ({"noise": -1.0}, "noise: expected no negative"),
        ({"noise": "much"}, "noise: expected a number"),
        ({"task_covariance": np.eye(2)}, r"task_covariance: expected a finite matrix \(3, 3\)"),
        ({"task_covariance": -np.eye(3)}, "task_covariance: expected a symmetric positive semidefinite"),
        ({"task_covariance": B, "latent": 2}, "expected 2 matrices"),
    ],
)
def test_bad_arguments_of_the_process(arguments, message):
    with pytest.raises(ValueError, match=message):
        linear.TaskGaussianProcess(**arguments).fit(DATA.X, DATA.y, DATA.tasks)


def test_a_singular_covariance_is_told():
    with pytest.raises(ValueError, match="noise: the covariance of the labels is singular"):
        fixed(noise=0.0, task_covariance=np.ones((3, 3))).fit(np.ones((4, 3)), np.arange(4.0), list("abca"))
