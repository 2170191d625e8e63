"""Row scores of ratios, against derivatives and against what they are the mean of."""

from __future__ import annotations

import numpy as np
import pytest
from sacrebleu.metrics.chrf import CHRF

from polytask.maths.chrf import chrf, chrf_statistics
from polytask.maths.jackknife import jackknife_rows
from polytask.maths.ratios import by_row, f1, precision, ratio, recall


def influence(value, n, step=1e-6):
    """The derivative of a metric by the weight of each row, times n, by differences; and the metric itself."""
    ones = np.ones(n)
    slopes = [(value(ones + step * np.eye(n)[i]) - value(ones - step * np.eye(n)[i])) / (2 * step) for i in range(n)]
    return value(ones), n * np.array(slopes)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_value_and_influence(seed):
    rng = np.random.default_rng(seed)
    hits, found, wanted = rng.integers(0, 4, 12), rng.integers(3, 7, 12), rng.integers(3, 9, 12)
    cases = {
        "ratio": (ratio(hits, found), lambda w: (w @ hits) / (w @ found)),
        "precision": (precision(hits, found, wanted), lambda w: (w @ hits) / (w @ found)),
        "recall": (recall(hits, wanted), lambda w: (w @ hits) / (w @ wanted)),
        "f1": (f1(hits, found, wanted), lambda w: 2 * (w @ hits) / (w @ (found + wanted))),
    }
    for scores, metric in cases.values():
        value, slopes = influence(metric, 12)
        np.testing.assert_allclose(scores.mean(), value)
        np.testing.assert_allclose(scores - value, slopes, atol=1e-6)


def test_f1_is_the_harmonic_mean():
    hits, found, wanted = np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([4.0, 2.0])
    p, r = precision(hits, found, wanted).mean(), recall(hits, wanted).mean()
    assert f1(hits, found, wanted).mean() == pytest.approx(2 * p * r / (p + r))


def test_undefined_ratios():
    nothing, some = np.zeros(2), np.array([1.0, 0.0])
    assert np.isnan(f1(nothing, nothing, nothing)).all()
    assert np.isnan(precision(nothing, nothing, nothing)).all()
    assert np.isnan(recall(nothing, nothing)).all()
    assert precision(nothing, nothing, some).tolist() == [0, 0]
    assert ratio(np.empty(0), np.empty(0)).shape == (0,)
    assert by_row(np.empty(0), np.zeros(3, dtype=np.int64)).shape == (3,)
    assert np.isnan(by_row(np.empty(0), np.zeros(3, dtype=np.int64))).all()


def test_scores_of_elements_become_scores_of_rows():
    scores, counts = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([2, 0, 3])
    rows = by_row(scores, counts)
    assert rows.mean() == pytest.approx(0.6)
    # of a mean over elements, the influence of a row is that of a ratio of sums
    np.testing.assert_allclose(rows, ratio(np.array([1.0, 0.0, 2.0]), counts.astype(float)))


def test_the_jackknife_of_a_mean_is_its_elements():
    values = np.array([1.0, 5.0, 6.0])
    pairs = np.column_stack([values, np.ones(3)])
    np.testing.assert_allclose(jackknife_rows(pairs, lambda sums: sums[:, 0] / sums[:, 1]), values)
    np.testing.assert_allclose(jackknife_rows(pairs[:1], lambda sums: sums[:, 0] / sums[:, 1]), [1.0])


WORDS = ["a", "the", "Haus", "naïve", "東京", "3.5", "...", "x"]


def texts(seed, n=40):
    rng = np.random.default_rng(seed)
    references = [" ".join(rng.choice(WORDS, rng.integers(0, 8))) for _ in range(n)]
    near = [" ".join(w for w in row.split() if rng.random() < 0.7) for row in references]
    return near, references


@pytest.mark.parametrize("seed", range(4))
def test_chrf_is_that_of_sacrebleu(seed):
    near, references = texts(seed)
    statistics = chrf_statistics(near, references)
    scorer = CHRF()
    assert float(chrf(statistics.sum(0, keepdims=True))[0]) == pytest.approx(
        scorer.corpus_score(near, [references]).score
    )
    alone = [scorer.sentence_score(a, [b]).score for a, b in zip(near, references, strict=True)]
    np.testing.assert_allclose(chrf(statistics), alone, atol=1e-9)
    rows = jackknife_rows(statistics, chrf)
    assert rows.mean() == pytest.approx(scorer.corpus_score(near, [references]).score)
    without = [
        scorer.corpus_score(near[:i] + near[i + 1 :], [references[:i] + references[i + 1 :]]).score for i in range(40)
    ]
    np.testing.assert_allclose(rows - rows.mean(), 39 * (np.mean(without) - np.array(without)), atol=1e-6)


def test_chrf_by_hand():
    # "abc" and "abd": 2 of 3 letters, 1 of 2 pairs, 0 of 1 triple; longer ones are in neither
    share = (2 / 3 + 1 / 2 + 0) / 3
    assert float(chrf(chrf_statistics(["a bc"], ["abd"]))[0]) == pytest.approx(100 * share)
    assert chrf(chrf_statistics(["", "", "x"], ["", "x", ""])).tolist() == [0, 0, 0]
    assert chrf_statistics([], []).shape == (0, 18)
