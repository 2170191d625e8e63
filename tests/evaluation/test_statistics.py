"""Delta-m, mean rank, paired tests and repeated splits against published tables, enumeration and hand work."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from polytask.errors import UserError
from polytask.evaluation.contract import TaskScores
from polytask.evaluation.delta import delta_m, delta_m_interval, delta_m_lower_is_better
from polytask.evaluation.paired import bootstrap_interval, sign_flip_p
from polytask.evaluation.ranks import mean_rank
from polytask.evaluation.resplit import SplitScores, split_verdicts
from polytask.evaluation.verdict import verdicts

VECTORS = json.loads((Path(__file__).parent / "statistics_vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["delta_m"], ids=lambda v: v["id"])
def test_delta_m_of_published_tables(vector: dict[str, Any]) -> None:
    given, want = vector["inputs"], vector["expected"]
    if "delta_percent" in want:
        got = delta_m(given["single"], given["multi"], given["higher_is_better"])
        assert got == pytest.approx(want["delta_percent"], abs=1e-9)
        assert got == pytest.approx(want["published_percent"], abs=0.05)
    else:
        got = delta_m_lower_is_better(given["base"], given["multi"], given["sign_1_higher_better"])
        assert got == pytest.approx(want["delta_percent_lower_is_better"], abs=1e-9)


def test_delta_m_by_hand_and_its_edges() -> None:
    assert delta_m([2.0, 0.5], [1.0, 0.6], [False, True]) == pytest.approx((50 + 20) / 2)
    assert delta_m([-2.0], [-1.0], [True]) == pytest.approx(50)  # a negative baseline: |B| keeps "up" up
    with pytest.raises(UserError, match="task 1"):
        delta_m([1.0, 0.0], [1.0, 1.0], [True, True])
    for wrong in (([], [], []), ([1.0], [1.0, 2.0], [True])):
        with pytest.raises(UserError):
            delta_m(*wrong)


def losses(seed: int, rows: int, places: np.ndarray | None = None, **kw: Any) -> TaskScores:
    rng = np.random.default_rng(seed)
    return TaskScores(
        1 + 0.2 * rng.random((3, rows)), 0.8 + 0.2 * rng.random((3, rows)), False, best=0.0, positions=places, **kw
    )


def test_delta_m_interval_of_one_task_is_its_verdict_in_percent() -> None:
    scores = losses(0, 300)
    one, verdict = delta_m_interval({"t": scores}), verdicts({"t": scores})["t"]
    assert one.value == pytest.approx(verdict.relative_gain)
    assert one.interval == pytest.approx(verdict.relative_interval)
    assert one.rows_only == pytest.approx(verdict.relative_rows_only)
    assert one.p == pytest.approx(verdict.p)


def test_delta_m_interval_is_delta_m_of_the_errors() -> None:
    """AUC counts as 1 - AUC, so its value is delta_m over errors; auxiliary tasks are left out."""
    rng = np.random.default_rng(1)
    auc = TaskScores(0.7 + 0.1 * rng.random((3, 220)), 0.8 + 0.1 * rng.random((3, 220)), True, 1.0)
    auc = dataclasses.replace(auc, positions=np.arange(100, 320))
    loss = losses(2, 250, np.arange(250))
    helper = losses(3, 320, np.arange(320), auxiliary=True)
    found = delta_m_interval({"auc": auc, "loss": loss, "helper": helper})
    base = [1 - auc.baseline.mean(), loss.baseline.mean()]
    other = [1 - auc.contender.mean(), loss.contender.mean()]
    assert found.value == pytest.approx(delta_m(base, other, [False, False]))
    assert found.tasks == ("auc", "loss")
    assert found.rows == 320
    assert found.interval.low < found.value < found.interval.high


def test_composite_scores_by_the_definition() -> None:
    """Missing labels: row by row, as the formula is written, then judged as one task."""
    tasks = {"a": losses(4, 150, np.arange(150)), "b": losses(5, 200, np.arange(60, 260))}
    sides = {}
    for side in ("baseline", "contender"):
        composite = np.zeros((3, 260))
        for s, i in itertools.product(range(3), range(260)):
            for scores in tasks.values():
                m = getattr(scores, side)[s].mean()
                at = np.flatnonzero(scores.positions == i)
                part = m + (260 / scores.rows) * (getattr(scores, side)[s, at[0]] - m) if len(at) else m
                composite[s, i] += part / abs(scores.baseline.mean()) / 2
        sides[side] = composite
    want = verdicts({"t": TaskScores(sides["baseline"], sides["contender"], False)})["t"]
    found = delta_m_interval(tasks)
    assert found.value == pytest.approx(100 * want.estimate)
    assert found.interval == pytest.approx([100 * end for end in want.interval])


@pytest.mark.parametrize(
    "tasks",
    [
        {},
        {"t": losses(0, 20, auxiliary=True)},
        {"t": dataclasses.replace(losses(0, 20), best=None)},
        {"t": dataclasses.replace(losses(0, 20), baseline=np.zeros((3, 20)))},
        {"t": losses(0, 20), "u": losses(0, 21)},
        {"t": losses(0, 20), "u": TaskScores(np.ones((2, 20)), np.ones((2, 20)), False, best=0.0)},
        {"t": TaskScores(np.ones((2, 0)), np.ones((2, 0)), False, best=0.0)},
    ],
)
def test_delta_m_interval_refuses(tasks: dict[str, TaskScores]) -> None:
    with pytest.raises(UserError):
        delta_m_interval(tasks)


@pytest.mark.parametrize("ties", ["dense", "min", "average"])
@pytest.mark.parametrize("vector", VECTORS["mean_rank"], ids=lambda v: v["id"])
def test_mean_rank_of_a_published_table(vector: dict[str, Any], ties: Any) -> None:
    given = vector["inputs"]
    got = mean_rank(given["values"], given["higher_is_better"], ties=ties)
    np.testing.assert_allclose(got, vector["expected"][ties], atol=1e-12)


@pytest.mark.parametrize("ties", ["dense", "min", "average"])
def test_mean_rank_agrees_with_scipy(ties: Any) -> None:
    values = np.random.default_rng(0).integers(0, 4, (9, 5)).astype(float)
    up = np.array([True, False, True, True, False])
    want = np.mean([stats.rankdata(-c if u else c, ties) for c, u in zip(values.T, up, strict=True)], 0)
    np.testing.assert_allclose(mean_rank(values, up, ties=ties), want)


def test_mean_rank_refuses() -> None:
    with pytest.raises(UserError, match="method 1, metric 0"):
        mean_rank([[1.0], [np.nan]], [True])
    with pytest.raises(UserError):
        mean_rank([[1.0]], [True, False])
    with pytest.raises(UserError):
        mean_rank([[1.0]], [True], ties="max")  # type: ignore[arg-type]  # the point of the test
    assert mean_rank([[3.0, 1.0]], [True, True]).tolist() == [1.0]


@pytest.mark.parametrize("vector", VECTORS["paired_permutation"], ids=lambda v: v["id"])
def test_sign_flips_are_enumerated(vector: dict[str, Any]) -> None:
    difference = np.subtract(vector["inputs"]["x"], vector["inputs"]["y"])
    rng, want = np.random.default_rng(0), vector["expected"]
    assert difference.mean() == pytest.approx(want["mean_diff"])
    assert sign_flip_p(difference, rng) == want["p_two_sided"]
    assert sign_flip_p(difference, rng, alternative="greater") == want["p_greater"]


def test_sign_flips_agree_with_scipy_and_with_themselves() -> None:
    values = np.random.default_rng(1).normal(0.4, 1, 12)
    want = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_p(values, np.random.default_rng(0)) == pytest.approx(want)
    doubled = np.concatenate([values, np.full(5, 1e-9)])  # 17 values: Monte Carlo
    sampled = sign_flip_p(doubled, np.random.default_rng(0), draws=4000)
    assert abs(sampled - want) < 4 * math.sqrt(want * (1 - want) / 4000) + 1 / 4000
    assert sign_flip_p(np.zeros(3), np.random.default_rng(0)) == 1.0


@pytest.mark.parametrize("vector", VECTORS["paired_bootstrap"], ids=lambda v: v["id"])
def test_bootstrap_agrees_with_all_resamples(vector: dict[str, Any]) -> None:
    """The exact quantiles are steps of 0.2; the Monte-Carlo ones land on the same steps."""
    found = bootstrap_interval(vector["inputs"]["diff"], np.random.default_rng(0), draws=4000)
    assert found.low == pytest.approx(vector["expected"]["q2.5"], abs=1e-9)
    assert found.high == pytest.approx(vector["expected"]["q97.5"], abs=1e-9)


@pytest.mark.parametrize("wrong", [[], [np.nan], [[1.0]]])
def test_paired_tests_refuse(wrong: Any) -> None:
    with pytest.raises(UserError):
        sign_flip_p(wrong, np.random.default_rng(0))
    with pytest.raises(UserError):
        bootstrap_interval(wrong, np.random.default_rng(0))


def splits(baseline: list[float], contender: list[float], higher: bool = True, **kw: Any) -> SplitScores:
    return SplitScores(baseline, contender, higher, train_rows=65, test_rows=35, **kw)


def test_corrected_t_by_hand() -> None:
    """D = 1, 2, 3, 2: mean 2, variance 2/3; se^2 = (1/4 + 35/65) 2/3; t with 3 degrees of freedom."""
    found = split_verdicts({"t": splits([1, 1, 1, 1], [2, 3, 4, 3], best=5.0)})["t"]
    se = math.sqrt((1 / 4 + 35 / 65) * 2 / 3)
    assert found.estimate == 2.0
    assert found.se == pytest.approx(se)
    assert found.p == pytest.approx(2 * stats.t.sf(2 / se, 3), rel=1e-9)
    half = stats.t.ppf(0.975, 3) * se
    assert found.interval == pytest.approx((2 - half, 2 + half), rel=1e-9)
    assert found.relative_gain == pytest.approx(50)
    assert found.relative_interval == pytest.approx((25 * (2 - half), 25 * (2 + half)))
    assert "over training samples" in found.note
    assert "4 splits" in found.note


def test_splits_are_corrected_over_tasks_and_oriented() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=12)
    up = (base + 1 + 0.1 * rng.normal(size=12)).tolist()
    same = (base + 0.1 * rng.normal(size=12)).tolist()
    found = split_verdicts(
        {"up": splits(base.tolist(), up), "down": splits(base.tolist(), up, False), "same": splits(base.tolist(), same)}
    )
    assert [v.verdict for v in found.values()] == ["helped", "hurt", "no evidence"]
    assert found["down"].estimate == -found["up"].estimate
    assert found["up"].p_holm == pytest.approx(3 * found["up"].p)
    assert "weak" not in found["up"].note


def test_splits_that_cannot_be_judged() -> None:
    assert split_verdicts({"t": splits([1, 1], [1, 1])})["t"].verdict == "no evidence"
    certain = split_verdicts({"t": splits([1, 1], [2, 2])})["t"]
    assert (certain.verdict, certain.p) == ("withheld", 1.0)
    for wrong in (([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, np.nan], [1.0, 2.0])):
        with pytest.raises(UserError):
            split_verdicts({"t": splits(*wrong)})
    with pytest.raises(UserError):
        split_verdicts({"t": SplitScores([1.0, 2.0], [1.0, 2.0], True, 0, 5)})
