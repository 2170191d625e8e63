"""The losses are the published formulas: against torch, scikit-learn and arithmetic by hand."""

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_pinball_loss
from torch.nn import functional

from polytask.tasks import Binary, Count, Multiclass, Multilabel, Ordinal, Regression
from polytask.tasks.best_constant import focal_probabilities, huber_location, weighted_quantile

N = 30


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def one(task, outputs, targets, **constants):
    """Row losses of a single task: ``(N, K), (N, W) -> (N,)``."""
    outputs = torch.as_tensor(np.asarray(outputs), dtype=torch.float64)
    targets = torch.as_tensor(np.asarray(targets), dtype=torch.float64)
    stacked = {k: torch.as_tensor(np.asarray(v), dtype=torch.float64)[None] for k, v in constants.items()}
    return task.row_losses(outputs[:, None], targets[:, None], stacked)[:, 0]


# --- classes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_that_of_torch(rng, smoothing):
    z, y = torch.from_numpy(rng.normal(size=(N, 1))), torch.from_numpy(rng.integers(0, 2, (N, 1))).double()
    expected = functional.binary_cross_entropy_with_logits(z, y * (1 - smoothing) + smoothing / 2, reduction="none")
    torch.testing.assert_close(one(Binary("b", label_smoothing=smoothing), z, y), expected[:, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_multiclass_cross_entropy_is_that_of_torch(rng, smoothing):
    z, y = torch.from_numpy(rng.normal(size=(N, 4))), torch.from_numpy(rng.integers(0, 4, N))
    expected = functional.cross_entropy(z, y, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(one(Multiclass("m", label_smoothing=smoothing), z, y[:, None]), expected)


def test_focal_loss_by_hand():
    z = np.log(0.9 / 0.1)  # p = 0.9
    found = one(Binary("b", loss="focal", gamma=2.0), [[z], [z]], [[1.0], [0.0]])
    np.testing.assert_allclose(found, [-(0.1**2) * np.log(0.9), -(0.9**2) * np.log(0.1)])
    p = np.array([0.7, 0.2, 0.1])
    found = one(Multiclass("m", loss="focal", gamma=0.5), [np.log(p)] * 2, [[0.0], [2.0]])
    np.testing.assert_allclose(found, [-(0.3**0.5) * np.log(0.7), -(0.9**0.5) * np.log(0.1)])


def test_focal_loss_without_gamma_is_cross_entropy(rng):
    z, y = rng.normal(size=(N, 3)), rng.integers(0, 3, (N, 1))
    torch.testing.assert_close(one(Multiclass("m", loss="focal", gamma=0.0), z, y), one(Multiclass("m"), z, y))


def test_class_weights_multiply_the_rows_of_their_class(rng):
    z, y = rng.normal(size=(N, 3)), rng.integers(0, 3, (N, 1))
    weights = np.array([1.0, 5.0, 0.5])
    plain = one(Multiclass("m"), z, y).numpy()
    np.testing.assert_allclose(one(Multiclass("m"), z, y, class_weights=weights), plain * weights[y[:, 0]])
    plain = one(Binary("b"), z[:, :1], y > 0).numpy()
    expected = plain * np.where(y[:, 0] > 0, 3.0, 2.0)
    np.testing.assert_allclose(one(Binary("b"), z[:, :1], y > 0, class_weights=[2.0, 3.0]), expected)


def test_balanced_weights_give_every_class_the_same_say():
    frame = pl.DataFrame({"m": ["a"] * 6 + ["b"] * 3 + ["c"]})
    target = Multiclass("m", class_weights="balanced").fit(frame)
    np.testing.assert_allclose(target.constants()["class_weights"], [10 / 18, 10 / 9, 10 / 3])
    np.testing.assert_allclose(np.exp(target.bias().numpy()), [1 / 3] * 3, rtol=1e-6)


def test_multilabel_rows_average_over_their_present_labels(rng):
    z = rng.normal(size=(2, 3))
    y = np.array([[1.0, np.nan, 0.0], [np.nan, 1.0, np.nan]])
    each = np.log1p(np.exp(np.where(y == 1, -z, z)))
    found = one(Multilabel("l", columns=("a", "b", "c")), z, y)
    np.testing.assert_allclose(found, [(each[0, 0] + each[0, 2]) / 2, each[1, 1]])


def test_bias_is_the_base_rate():
    frame = pl.DataFrame({"b": [True, False, False, None, False]})
    assert Binary("b").fit(frame).bias().item() == pytest.approx(np.log(1 / 3))
    frame = pl.DataFrame({"m": ["x", "y", "y", None, "y"]})
    np.testing.assert_allclose(Multiclass("m").fit(frame).bias().exp().numpy(), [0.25, 0.75], rtol=1e-6)


def test_reference_loss_of_many_rows_is_the_entropy_of_the_labels():
    frame = pl.DataFrame({"b": [1, 0, None, 0, 0] * 60_000})  # more rows than are taken at once
    target = Binary("b").fit(frame)
    entropy = stats.entropy([0.25, 0.75])
    assert target.reference_loss(target.encode(frame)) == pytest.approx(entropy, rel=1e-6)


# --- levels --------------------------------------------------------------------------------------------------------


def test_corn_by_hand():
    conditional = np.array([0.8, 0.5, 0.25])  # P(y>0), P(y>1 | y>0), P(y>2 | y>1)
    z = np.log(conditional / (1 - conditional))
    expected = np.array([0.2, 0.8 * 0.5, 0.8 * 0.5 * 0.75, 0.8 * 0.5 * 0.25])
    np.testing.assert_allclose(np.exp(-one(Ordinal("o"), [z] * 4, np.arange(4.0)[:, None]).numpy()), expected)


def test_cumulative_by_hand():
    z = np.array([1.0, 0.2, -1.5])  # logits of P(y>0), P(y>1), P(y>2)
    outputs = np.concatenate([z[:1], np.log(np.expm1(-np.diff(z)))])
    above = np.concatenate([[1], 1 / (1 + np.exp(-z)), [0]])
    found = one(Ordinal("o", loss="cumulative"), [outputs] * 4, np.arange(4.0)[:, None])
    np.testing.assert_allclose(np.exp(-found.numpy()), -np.diff(above))


@pytest.mark.parametrize("loss", ["corn", "cumulative", "cross_entropy"])
def test_ordinal_probabilities_are_those_of_the_loss_and_the_level_is_their_median(rng, loss):
    task = Ordinal("o", loss=loss)
    target = task.fit(pl.DataFrame({"o": [1, 2, 3, 4, 5]}))
    outputs = torch.from_numpy(rng.normal(scale=2, size=(N, target.outputs)))
    answer = target.answer(outputs)
    for level in range(5):
        found = one(task, outputs, np.full((N, 1), level))
        np.testing.assert_allclose(np.exp(-found.numpy()), answer["probabilities"][:, level])
    expected_error = np.abs(np.arange(5)[:, None] - np.arange(5)) @ answer["probabilities"].T
    np.testing.assert_array_equal(answer["level"], expected_error.argmin(0))


@pytest.mark.parametrize("loss", ["corn", "cumulative", "cross_entropy"])
def test_ordinal_bias_is_the_frequencies(loss):
    target = Ordinal("o", loss=loss).fit(pl.DataFrame({"o": [1, 2, 2, 4, 4, 4, 7, 7, 7, 7]}))
    np.testing.assert_allclose(target.answer(target.bias()[None])["probabilities"][0], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)


@pytest.mark.parametrize("loss", ["corn", "cumulative", "cross_entropy"])
def test_a_declared_level_without_rows_is_learnable(loss):
    target = Ordinal("o", levels=("low", "mid", "high"), loss=loss).fit(pl.DataFrame({"o": ["low", "high"]}))
    assert target.bias().isfinite().all()
    assert target.answer(target.bias()[None])["probabilities"].shape == (1, 3)


# --- numbers -------------------------------------------------------------------------------------------------------


def test_regression_losses_are_those_of_torch(rng):
    f, y = torch.from_numpy(rng.normal(size=(N, 1))), torch.from_numpy(2 * rng.normal(size=(N, 1)))
    torch.testing.assert_close(one(Regression("r"), f, y), functional.mse_loss(f, y, reduction="none")[:, 0])
    expected = functional.l1_loss(f, y, reduction="none")
    torch.testing.assert_close(one(Regression("r", loss="mae"), f, y), expected[:, 0])
    expected = functional.huber_loss(f, y, reduction="none", delta=0.7)
    torch.testing.assert_close(one(Regression("r", loss="huber", delta=0.7), f, y), expected[:, 0])


def test_gaussian_loss_is_the_negative_log_density(rng):
    y, mean, log_scale = rng.normal(size=N), rng.normal(size=N), rng.normal(scale=0.5, size=N)
    outputs = np.column_stack([mean, 7 * np.arctanh(log_scale / 7)])
    expected = -stats.norm.logpdf(y, mean, np.exp(log_scale))
    np.testing.assert_allclose(one(Regression("r", loss="gaussian_nll"), outputs, y[:, None]), expected)


def test_pinball_loss_is_that_of_scikit_learn(rng):
    y, f = rng.normal(size=N), rng.normal(size=(N, 5))
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)
    expected = np.mean([mean_pinball_loss(y, f[:, i], alpha=q) for i, q in enumerate(levels)])
    assert one(Regression("r", loss="pinball", quantiles=levels), f, y[:, None]).mean() == pytest.approx(expected)


def test_vector_rows_average_over_their_present_columns():
    outputs, targets = [[1.0, 2.0], [3.0, 4.0]], [[0.0, np.nan], [0.0, 0.0]]
    np.testing.assert_allclose(one(Regression("v", columns=("a", "b")), outputs, targets), [1, (9 + 16) / 2])


def test_vector_outputs_lie_column_by_column():
    """The outputs of one column stay together: (mean a, deviation a, mean b, deviation b)."""
    task = Regression("v", columns=("a", "b"), loss="gaussian_nll")
    target = task.fit(pl.DataFrame({"a": [0.0, 2.0], "b": [100.0, 300.0]}))
    answer = target.answer(torch.tensor([[1.0, 0.0, -1.0, 0.0]]))
    np.testing.assert_allclose(answer["value"], [[2.0, 100.0]])
    np.testing.assert_allclose(answer["high"], [[2 + stats.norm.ppf(0.95), 100 + 100 * stats.norm.ppf(0.95)]])


def test_quantiles_never_cross():
    target = Regression("r", loss="pinball").fit(pl.DataFrame({"r": [0.0, 1.0, 2.0]}))
    answer = target.answer(torch.tensor([[3.0, 1.0, 2.0]]))
    assert answer["low"] < answer["value"] < answer["high"]


def test_count_loss_is_half_the_deviance(rng):
    y, z = rng.poisson(3.0, N).astype(float), rng.normal(size=N)
    best = stats.poisson.logpmf(y, np.maximum(y, 1e-300))
    expected = best - stats.poisson.logpmf(y, np.exp(z))
    np.testing.assert_allclose(one(Count("c"), z[:, None], y[:, None]), expected, atol=1e-12)


def test_count_loss_keeps_its_digits_for_large_counts():
    y = 1e7
    z = torch.tensor([[[np.log(y) + 1e-2]]], dtype=torch.float32)
    found = Count("c").row_losses(z, torch.tensor([[[y]]]), {}).item()
    exact_z = z.double().item()
    assert found == pytest.approx(y * (np.expm1(exact_z - np.log(y)) - (exact_z - np.log(y))), rel=2e-3)


# --- best constants ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
def test_focal_probabilities_are_stationary_on_the_simplex(gamma):
    mass = np.array([1e-4, 0.1, 0.5, 3.0])
    p = focal_probabilities(mass, gamma)
    assert p.sum() == pytest.approx(1)
    steps = np.log(p)[:, None] + np.array([1e-6, -1e-6])  # derivative of -a (1 - p)^gamma log p by log p
    values = -mass[:, None] * (-np.expm1(steps)) ** gamma * steps
    slopes = (values[:, 0] - values[:, 1]) / 2e-6 / p
    np.testing.assert_allclose(slopes, slopes[-1], rtol=1e-4)


def test_weighted_quantile_counts_a_weight_as_copies(rng):
    values, copies = rng.normal(size=20), rng.integers(1, 5, 20)
    for level in (0.05, 0.5, 0.95):
        expected = np.quantile(np.repeat(values, copies), level, method="inverted_cdf")
        assert weighted_quantile(values, copies.astype(float), level) == expected


def test_huber_location_lies_between_median_and_mean(rng):
    values = rng.exponential(size=101)
    ones = np.ones(101)
    assert huber_location(values, ones, 1e3) == pytest.approx(values.mean())
    assert huber_location(values, ones, 1e-4) == pytest.approx(np.median(values), abs=1e-3)
