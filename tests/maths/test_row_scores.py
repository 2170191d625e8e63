"""Row scores: their mean is scikit-learn's metric, and their spread is the derivative of the metric by row weights."""

import numpy as np
import pytest
from scipy.stats import poisson
from sklearn import metrics as sk

from polytask.maths import scores

N = 60


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def regression(rng):
    truth = rng.normal(3, 2, N)
    return truth, truth + rng.normal(0.3, 1, N)


@pytest.fixture
def binary(rng):
    truth = (rng.random(N) < 0.35).astype(float)
    return truth, np.round(np.clip(0.3 * truth + 0.6 * rng.random(N), 0.01, 0.99), 1)  # rounded: many ties


@pytest.fixture
def classes(rng):
    truth = rng.integers(0, 4, N).astype(float)
    probabilities = rng.dirichlet(np.ones(4), N) + 0.8 * np.eye(4)[truth.astype(int)]
    return truth, probabilities / probabilities.sum(1, keepdims=True)


@pytest.fixture
def counts(rng):
    rate = rng.gamma(2.0, 1.5, N)
    return rng.poisson(rate).astype(float), rate


# --- the mean is the metric of scikit-learn --------------------------------------------------------------------


def test_regression_scores_average_to_scikit_learn(regression):
    y, f = regression
    assert scores.squared_error(y, f).mean() == pytest.approx(sk.mean_squared_error(y, f))
    assert scores.absolute_error(y, f).mean() == pytest.approx(sk.mean_absolute_error(y, f))
    assert scores.rmse(y, f).mean() == pytest.approx(sk.root_mean_squared_error(y, f))
    assert scores.r2(y, f).mean() == pytest.approx(sk.r2_score(y, f))


def test_pinball_averages_to_scikit_learn(regression):
    y, f = regression
    bands = np.column_stack([f - 1, f, f + 2])
    expected = np.mean([sk.mean_pinball_loss(y, bands[:, i], alpha=q) for i, q in enumerate((0.1, 0.5, 0.9))])
    assert scores.pinball(y, bands, (0.1, 0.5, 0.9)).mean() == pytest.approx(expected)


def test_interval_score_by_hand():
    y, low, high = np.array([1.0, 5.0, -1.0]), np.zeros(3), np.full(3, 2.0)
    # width 2; the misses 3 and 1 cost 2 / (1 - 0.9) = 20 each unit
    np.testing.assert_allclose(scores.interval_score(y, low, high, 0.9), [2, 62, 22])
    np.testing.assert_array_equal(scores.covered(y, low, high), [1, 0, 0])


def test_interval_score_is_two_pinball_losses(regression):
    """Gneiting and Raftery 2007: the interval score is ``2 / alpha`` times the pinball losses of both ends."""
    y, f = regression
    ends = np.column_stack([f - 1, f + 2])
    both = 2 * scores.pinball(y, ends, (0.05, 0.95))
    np.testing.assert_allclose(scores.interval_score(y, ends[:, 0], ends[:, 1], 0.9), both * 2 / 0.1)


def test_binary_scores_average_to_scikit_learn(binary):
    y, p = binary
    label = (p >= 0.5).astype(float)
    assert scores.auc(y, p).mean() == pytest.approx(sk.roc_auc_score(y, p))
    assert scores.log_loss(y, p).mean() == pytest.approx(sk.log_loss(y, p))
    assert scores.brier(y, p).mean() == pytest.approx(sk.brier_score_loss(y, p))
    assert scores.accuracy(y, label).mean() == pytest.approx(sk.accuracy_score(y, label))
    assert scores.f1(y, label).mean() == pytest.approx(sk.f1_score(y, label))


def test_multiclass_scores_average_to_scikit_learn(classes):
    y, p = classes
    label = p.argmax(1).astype(float)
    assert scores.log_loss(y, p).mean() == pytest.approx(sk.log_loss(y, p))
    assert scores.macro_f1(y, label).mean() == pytest.approx(sk.f1_score(y, label, average="macro"))
    for k in (1, 2, 3):
        assert scores.top_k_accuracy(y, p, k).mean() == pytest.approx(sk.top_k_accuracy_score(y, p, k=k))
    assert scores.quadratic_kappa(y, label).mean() == pytest.approx(sk.cohen_kappa_score(y, label, weights="quadratic"))


def test_macro_f1_skips_classes_that_occur_nowhere():
    y, label = np.array([0.0, 0, 3, 3]), np.array([0.0, 3, 3, 5])
    assert scores.macro_f1(y, label).mean() == pytest.approx(sk.f1_score(y, label, average="macro", zero_division=0))


def test_poisson_deviance_averages_to_scikit_learn(counts):
    y, rate = counts
    assert scores.poisson_deviance(y, rate).mean() == pytest.approx(sk.mean_poisson_deviance(y, rate))
    saturated = 2 * (poisson.logpmf(y, np.maximum(y, 1e-300)) - poisson.logpmf(y, rate))
    np.testing.assert_allclose(scores.poisson_deviance(y, rate), saturated, atol=1e-9)


# --- the row scores are the influence of each row ----------------------------------------------------------------


def weighted_kappa(y, f, w):
    return sk.cohen_kappa_score(y, f, weights="quadratic", sample_weight=w)


LINEARISED = {
    "rmse": (scores.rmse, lambda y, f, w: sk.root_mean_squared_error(y, f, sample_weight=w), "regression"),
    "r2": (scores.r2, lambda y, f, w: sk.r2_score(y, f, sample_weight=w), "regression"),
    "mse": (scores.squared_error, lambda y, f, w: sk.mean_squared_error(y, f, sample_weight=w), "regression"),
    "auc": (scores.auc, lambda y, f, w: sk.roc_auc_score(y, f, sample_weight=w), "binary"),
    "log_loss": (scores.log_loss, lambda y, f, w: sk.log_loss(y, f, sample_weight=w), "binary"),
    "f1": (
        lambda y, p: scores.f1(y, np.round(p)),
        lambda y, p, w: sk.f1_score(y, np.round(p), sample_weight=w),
        "binary",
    ),
    "macro_f1": (
        lambda y, p: scores.macro_f1(y, p.argmax(1)),
        lambda y, p, w: sk.f1_score(y, p.argmax(1), average="macro", sample_weight=w),
        "classes",
    ),
    "quadratic_kappa": (
        lambda y, p: scores.quadratic_kappa(y, p.argmax(1).astype(float)),
        lambda y, p, w: weighted_kappa(y, p.argmax(1), w),
        "classes",
    ),
    "poisson_deviance": (
        scores.poisson_deviance,
        lambda y, f, w: sk.mean_poisson_deviance(y, f, sample_weight=w),
        "counts",
    ),
}


@pytest.mark.parametrize("name", LINEARISED)
def test_scores_are_the_derivative_of_the_metric_by_the_weight_of_a_row(name, request):
    rows, weighted, data = LINEARISED[name]
    y, f = request.getfixturevalue(data)
    found = rows(y, f)
    step = 1e-5
    for i in range(0, N, 7):
        up, down = np.ones(N), np.ones(N)
        up[i] += step
        down[i] -= step
        slope = (weighted(y, f, up) - weighted(y, f, down)) / (2 * step)
        assert slope == pytest.approx((found[i] - found.mean()) / N, abs=1e-8)


def test_variance_of_the_scores_is_the_jackknife_variance(rng):
    n = 400
    y = (rng.random(n) < 0.3).astype(float)
    p = np.clip(0.2 * y + rng.random(n), 0, 1)
    left_out = [sk.roc_auc_score(np.delete(y, i), np.delete(p, i)) for i in range(n)]
    jackknife = (n - 1) / n * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    assert scores.auc(y, p).var(ddof=1) / n == pytest.approx(jackknife, rel=0.02)


# --- hard inputs ---------------------------------------------------------------------------------------------------


def test_undefined_metrics_are_nan():
    one_class = np.zeros(4)
    assert np.isnan(scores.auc(one_class, np.arange(4.0))).all()
    assert np.isnan(scores.f1(one_class, one_class)).all()
    assert np.isnan(scores.r2(np.full(3, 0.1), np.arange(3.0))).all()
    assert np.isnan(scores.quadratic_kappa(one_class, one_class)).all()


def test_no_rows_give_no_scores():
    empty = np.zeros(0)
    for score in (scores.rmse, scores.r2, scores.auc, scores.f1, scores.macro_f1, scores.poisson_deviance):
        assert score(empty, empty).shape == (0,)


def test_perfect_and_hopeless_ranking():
    y = np.array([0.0, 0, 1, 1])
    np.testing.assert_allclose(scores.auc(y, np.array([1.0, 2, 3, 4])), 1)
    np.testing.assert_allclose(scores.auc(y, np.array([4.0, 3, 2, 1])), 0, atol=1e-15)
    np.testing.assert_allclose(scores.auc(y, np.zeros(4)), 0.5)


def test_perfect_regression_has_rmse_zero():
    y = np.array([1.0, 2.0])
    np.testing.assert_array_equal(scores.rmse(y, y), [0, 0])


@pytest.mark.parametrize("unit", [1e-150, 1e150])
def test_rmse_and_r2_do_not_overflow(regression, unit):
    y, f = regression
    np.testing.assert_allclose(scores.rmse(unit * y, unit * f) / unit, scores.rmse(y, f))
    np.testing.assert_allclose(scores.r2(unit * y, unit * f), scores.r2(y, f))


def test_certain_and_wrong_costs_a_finite_log_loss():
    assert scores.log_loss(np.array([1.0]), np.array([0.0]))[0] == pytest.approx(-np.log(np.finfo(float).eps))


def test_deviance_of_zero_counts():
    np.testing.assert_allclose(scores.poisson_deviance(np.zeros(2), np.array([0.0, 3.0])), [0, 6])


def test_over_columns_is_the_mean_of_the_column_metrics(rng):
    truth = rng.normal(size=(N, 3))
    truth[rng.random((N, 3)) < 0.3] = np.nan
    guess = rng.normal(size=(N, 3))
    rows = scores.over_columns(truth, lambda c, m: scores.r2(truth[m, c], guess[m, c]))
    kept = [~np.isnan(truth[:, c]) for c in range(3)]
    expected = np.mean([sk.r2_score(truth[m, c], guess[m, c]) for c, m in enumerate(kept)])
    assert rows.mean() == pytest.approx(expected)


def test_over_columns_is_the_derivative_too(rng):
    truth = rng.normal(size=(N, 2))
    truth[rng.random((N, 2)) < 0.3] = np.nan
    guess = rng.normal(size=(N, 2))
    rows = scores.over_columns(truth, lambda c, m: scores.rmse(truth[m, c], guess[m, c]))

    def metric(w):
        kept = [~np.isnan(truth[:, c]) for c in range(2)]
        return np.mean(
            [sk.root_mean_squared_error(truth[m, c], guess[m, c], sample_weight=w[m]) for c, m in enumerate(kept)]
        )

    for i in range(0, N, 11):
        up, down = np.ones(N), np.ones(N)
        up[i], down[i] = 1 + 1e-5, 1 - 1e-5
        assert (metric(up) - metric(down)) / 2e-5 == pytest.approx((rows[i] - rows.mean()) / N, abs=1e-8)


def test_over_columns_leaves_out_undefined_columns():
    truth = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    rows = scores.over_columns(truth, lambda c, m: scores.auc(truth[m, c], np.arange(3.0)))
    assert rows.mean() == pytest.approx(1.0)
    nothing = scores.over_columns(truth[:, :1], lambda c, m: scores.auc(truth[m, c], np.arange(3.0)))
    assert np.isnan(nothing).all()
