"""Verdicts: the vectors, the laws, and what is withheld."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.errors import UserError
from polytask.evaluation.contract import Rule, TaskScores, Verdict
from polytask.evaluation.variance import parts
from polytask.evaluation.verdict import family_verdicts, verdicts

VECTORS = json.loads((Path(__file__).parent / "verdict_vectors.json").read_text())
ANY_SIZE = Rule(minimum_rows=2)


def runs(rng: np.random.Generator, seeds: int, rows: int, *, shift: float = 0.0, seed_sd: float = 0.1) -> np.ndarray:
    """Row scores of runs that differ by a shift of each seed and by noise in each row."""
    difficulty = np.random.default_rng(99).normal(size=rows)
    return shift + difficulty + seed_sd * rng.normal(size=(seeds, 1)) + 0.3 * rng.normal(size=(seeds, rows))


def scores_of(
    rng: np.random.Generator, *, shift: float = 0.0, seeds: int = 3, rows: int = 250, **kw: Any
) -> TaskScores:
    return TaskScores(runs(rng, seeds, rows), runs(rng, seeds, rows, shift=shift), higher_is_better=True, **kw)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_vectors(case: dict[str, Any]) -> None:
    tasks = {
        str(i): TaskScores(np.array(task["stl"]), np.array(task["mtl"]), task["g"] > 0)
        for i, task in enumerate(case["tasks"])
    }
    for got, want in zip(verdicts(tasks, rule=ANY_SIZE).values(), case["expect"], strict=True):
        found = dataclasses.asdict(got.components) | {
            "estimate": got.estimate,
            "se": got.se,
            "p": got.p,
            "p_holm": got.p_holm,
            "half95": got.interval.high - got.estimate,
            "half_sim": got.simultaneous.high - got.estimate,
            "mde80": got.mde,
        }
        assert got.verdict == want["verdict"]
        assert got.interval == pytest.approx(tuple(want["ci"]), rel=1e-10, abs=1e-15)
        for name, value in found.items():
            if want[name] is None:
                assert math.isnan(value)
            else:
                assert value == pytest.approx(want[name], rel=1e-10, abs=1e-15), name


def test_two_seeds_by_hand() -> None:
    """S = 2, two rows: every sum of the definition written out.

    A = [[0, 2], [2, 2]], B = [[4, 4], [6, 4]]: seed means 1, 2 and 4, 5, so var = 1/2 each and Vs0 = 1/4 + 1/4.
    Residuals of A are -+1/2, of B the same: E = 1/((2-1)(2-1)) = 1, Ve = (1/2 + 1/2)/2 = 1/2.
    Row means 1, 2 and 5, 4: differences 4, 2 with variance 2, so 2/2 - 1/2 = 1/2 = Vr.
    """
    raw = parts(np.array([[0.0, 2.0], [2.0, 2.0]]), np.array([[4.0, 4.0], [6.0, 4.0]]))
    assert (raw.estimate, raw.seeds, raw.noise, raw.rows, raw.df) == (3.0, 0.5, 0.5, 0.5, 2.0)


@given(st.integers(0, 10**6), st.sampled_from([1e-10, 1e-3, 7.0, 1e10]), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_scaling_and_swapping(seed: int, scale: float, seeds: int) -> None:
    rng = np.random.default_rng(seed)
    tasks = {name: scores_of(rng, shift=shift, seeds=seeds, best=20.0) for name, shift in (("a", 0.3), ("b", 0.0))}
    plain = verdicts(tasks)
    scaled = verdicts(
        {
            name: dataclasses.replace(s, baseline=scale * s.baseline, contender=scale * s.contender, best=scale * 20)
            for name, s in tasks.items()
        }
    )
    swapped = verdicts(
        {name: dataclasses.replace(s, baseline=s.contender, contender=s.baseline) for name, s in tasks.items()}
    )
    mirrored = verdicts(
        {
            name: dataclasses.replace(s, baseline=-s.baseline, contender=-s.contender, higher_is_better=False)
            for name, s in tasks.items()
        }
    )
    opposite = {"helped": "hurt", "hurt": "helped", "no evidence": "no evidence"}
    for name, one in plain.items():
        assert_like(scaled[name], one, factor=scale)
        assert scaled[name].relative_gain == pytest.approx(one.relative_gain, rel=1e-6)
        assert_like(mirrored[name], one)
        assert swapped[name].estimate == pytest.approx(-one.estimate, rel=1e-9)
        assert swapped[name].se == pytest.approx(one.se, rel=1e-9)
        assert swapped[name].p_holm == pytest.approx(one.p_holm, rel=1e-9)
        assert swapped[name].verdict == opposite[one.verdict]


def assert_like(got: Verdict, want: Verdict, factor: float = 1.0) -> None:
    assert got.verdict == want.verdict
    assert got.p == pytest.approx(want.p, rel=1e-6, abs=1e-14)
    for name in ("estimate", "se", "mde"):
        assert getattr(got, name) == pytest.approx(factor * getattr(want, name), rel=1e-6)
    for name in ("interval", "simultaneous", "rows_only"):
        assert getattr(got, name) == pytest.approx([factor * end for end in getattr(want, name)], rel=1e-6)


def test_order_of_seeds_tasks_and_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    tasks = {name: scores_of(rng, shift=0.2) for name in "abc"}
    rows, seeds = rng.permutation(250), [2, 0, 1]
    shuffled = {
        name: dataclasses.replace(s, baseline=s.baseline[seeds][:, rows], contender=s.contender[:, rows])
        for name, s in reversed(tasks.items())
    }
    before, after = verdicts(tasks), verdicts(shuffled)
    for name in tasks:
        assert_like(after[name], before[name])


def test_two_halves_of_the_same_method_rarely_differ() -> None:
    """A/A with S = 3: 60 families of 4 tasks; the rule errs in 2-5 % of families, so 9 of 60 would be a scandal."""
    rng = np.random.default_rng(5)
    wrong = sum(
        any(v.verdict != "no evidence" for v in verdicts({str(t): scores_of(rng) for t in range(4)}).values())
        for _ in range(60)
    )
    assert wrong <= 8


def test_a_large_difference_is_called_and_a_margin_makes_small_ones_equal() -> None:
    rng = np.random.default_rng(0)
    found = verdicts(
        {
            "better": scores_of(rng, shift=2.0, seeds=5),
            "worse": scores_of(rng, shift=-2.0, seeds=5),
            "same": scores_of(rng, seeds=5),
            "same, margin": scores_of(rng, seeds=5, margin=1.0),
            "same, narrow margin": scores_of(rng, seeds=5, margin=0.001),
        }
    )
    words = [v.verdict for v in found.values()]
    assert words == ["helped", "hurt", "no evidence", "practically equal", "no evidence"]
    assert all(v.family == 5 and v.rows == 250 and v.seeds == (5, 5) for v in found.values())
    for v in found.values():
        assert v.simultaneous.low < v.interval.low < v.estimate < v.interval.high < v.simultaneous.high
        assert v.mde > v.simultaneous.high - v.estimate


def test_one_seed_is_withheld_with_the_interval_of_these_models() -> None:
    rng = np.random.default_rng(1)
    found = verdicts({"t": scores_of(rng, shift=3.0, seeds=1, best=10.0)})["t"]
    difference = rng_difference(scores_of(np.random.default_rng(1), shift=3.0, seeds=1))
    half = 1.959963984540054 * difference.std(ddof=1) / np.sqrt(250)
    assert found.verdict == "withheld"
    assert "one seed" in found.note
    assert found.rows_only == pytest.approx((difference.mean() - half, difference.mean() + half))
    assert found.estimate == pytest.approx(difference.mean())
    assert all(math.isnan(x) for x in (found.p, found.p_holm, found.se, found.mde, *found.interval))
    assert found.family == 0


def rng_difference(scores: TaskScores) -> np.ndarray:
    difference: np.ndarray = scores.contender.mean(0) - scores.baseline.mean(0)
    return difference


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 199}, "too few test rows"),
        ({"rows": 0}, "too few test rows"),
        ({"rows": 1}, "too few test rows"),
        ({"rare_rows": 24}, "rarer class"),
        ({"auxiliary": True}, "auxiliary"),
    ],
)
def test_withheld_tasks_stay_out_of_the_family(changes: dict[str, Any], words: str) -> None:
    rng = np.random.default_rng(2)
    kept = {"a": scores_of(rng, shift=0.4), "b": scores_of(rng)}
    alone = verdicts(kept)
    found = verdicts({"left out": scores_of(rng, shift=5.0, **changes)} | kept)
    assert found["left out"].verdict == "withheld"
    assert words in found["left out"].note
    assert math.isnan(found["left out"].p_holm)
    for name, want in alone.items():
        assert_like(found[name], want)
        assert (found[name].p_holm, found[name].family) == (want.p_holm, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_withheld(bad: float) -> None:
    scores = scores_of(np.random.default_rng(0))
    scores.contender[0, 0] = bad
    scores.baseline[0, 0] = bad
    found = verdicts({"t": scores})["t"]
    assert found.verdict == "withheld"
    assert "not finite" in found.note


def test_a_difference_without_any_variance_is_no_verdict() -> None:
    a = np.tile([[1.0, 2.0, 3.0]], (3, 1))
    found = verdicts({"t": TaskScores(a, a + 1, True), "u": TaskScores(a, a, True)}, rule=ANY_SIZE)
    assert (found["t"].verdict, found["t"].p, found["t"].p_holm) == ("withheld", 0.0, 1.0)
    assert (found["u"].verdict, found["u"].p) == ("no evidence", 1.0)
    assert "deterministic" in found["t"].note


def test_two_seeds_are_called_weak() -> None:
    found = verdicts({"t": scores_of(np.random.default_rng(0), seeds=2)})["t"]
    assert found.weak
    assert "two seeds" in found.note
    assert not verdicts({"t": scores_of(np.random.default_rng(0), seeds=3)})["t"].weak


def test_relative_gain_is_the_part_of_the_error_that_went_away() -> None:
    """AUC .8 -> .9 halves the error 1 - AUC; loss .5 -> .6 adds 20 %; without a best value there is no percent."""
    noise = 0.01 * np.random.default_rng(0).normal(size=(4, 3, 300))
    noise -= noise.mean(-1, keepdims=True)
    found = verdicts(
        {
            "auc": TaskScores(0.8 + noise[0], 0.9 + noise[1], True, best=1.0),
            "loss": TaskScores(0.5 + noise[2], 0.6 + noise[3], False, best=0.0),
            "none": TaskScores(0.5 + noise[2], 0.6 + noise[3], False),
            "perfect": TaskScores(0 * noise[0], noise[1] ** 2, False, best=0.0),
        }
    )
    assert found["auc"].relative_gain == pytest.approx(50)
    assert found["loss"].relative_gain == pytest.approx(-20)
    assert found["loss"].relative_interval == pytest.approx([200 * end for end in found["loss"].interval])
    assert found["loss"].relative_mde == pytest.approx(200 * found["loss"].mde)
    assert math.isnan(found["none"].relative_gain)
    assert math.isnan(found["perfect"].relative_gain)


def test_contenders_share_one_family_unless_one_is_primary() -> None:
    rng = np.random.default_rng(4)
    contenders = {c: {t: scores_of(rng, shift=0.1) for t in "ab"} for c in ("wide", "narrow")}
    together = family_verdicts(contenders)
    named = family_verdicts(contenders, primary="wide")
    alone = {c: verdicts(tasks) for c, tasks in contenders.items()}
    least = min((together[c][t] for c in contenders for t in "ab"), key=lambda v: v.p)
    assert least.p_holm == pytest.approx(min(1.0, 4 * least.p))
    for t in "ab":
        assert together["wide"][t].family == 4
        assert named["wide"][t].p_holm == alone["wide"][t].p_holm
        assert named["wide"][t].family == 2
        assert named["narrow"][t].p_holm == together["narrow"][t].p_holm
        assert "secondary" in named["narrow"][t].note
        assert together["wide"][t].components == alone["wide"][t].components
    with pytest.raises(UserError, match="Did you mean 'wide'"):
        family_verdicts(contenders, primary="wider")


def test_nothing_to_judge_is_no_error() -> None:
    assert verdicts({}) == {}
    assert family_verdicts({"a": {}}) == {"a": {}}


@pytest.mark.parametrize(
    "build",
    [
        lambda: TaskScores(np.zeros((2, 3)), np.zeros((2, 4)), True),
        lambda: TaskScores(np.zeros(3), np.zeros(3), True),
        lambda: TaskScores(np.zeros((0, 3)), np.zeros((2, 3)), True),
        lambda: TaskScores(np.zeros((2, 3)), np.zeros((2, 3)), True, margin=0.0),
        lambda: TaskScores(np.zeros((2, 3)), np.zeros((2, 3)), True, positions=np.arange(2)),
        lambda: Rule(alpha=0.0),
        lambda: Rule(prior_df=-1),
    ],
)
def test_wrong_arguments(build: Any) -> None:
    with pytest.raises(UserError):
        build()
