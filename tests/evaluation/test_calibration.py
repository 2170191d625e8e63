"""The rule keeps its promises where the truth is known; the usual test over rows does not."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from polytask.evaluation.contract import TaskScores
from polytask.evaluation.delta import delta_m_interval
from polytask.evaluation.variance import parts, pool
from polytask.maths.holm import holm
from polytask.maths.tails import two_sided_p

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "verdicts.py"


def families(count: int, tasks: int, seeds: int, v: float, rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Row scores without a true difference: seeds shift runs with variance v, rows the difference with variance 1."""
    rng = np.random.default_rng(12)
    shape = (count, tasks, seeds, rows)
    sides = [
        np.sqrt(rows * v / 2) * rng.normal(size=shape) + np.sqrt(v / 2) * rng.normal(size=(*shape[:3], 1))
        for _ in range(2)
    ]
    return sides[0], sides[1] + np.sqrt(rows) * rng.normal(size=(count, tasks, 1, rows))


def within(rate: float, expected: float, count: int) -> bool:
    """Four Monte-Carlo standard errors."""
    return abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_nominal_where_seeds_are_many() -> None:
    """S = 10, one task, small seed variance: the rule is all but exact, 5 % false alarms."""
    raw = parts(*families(2000, 1, 10, v=0.1))
    pooled = pool(raw)
    p = two_sided_p(raw.estimate, pooled.seeds, pooled.rows, pooled.nu)
    assert within(float((p < 0.05).mean()), 0.05, 2000)
    assert pooled.prior_df.max() == 0
    assert float(raw.estimate.std() / pooled.se.mean()) == pytest.approx(1, abs=0.06)


def test_family_of_eight_with_three_seeds() -> None:
    """At most 5 % of families hold a false verdict; a row test gives one to a quarter of them and more."""
    count, seeds, v = 800, 3, 4.0
    baseline, contender = families(count, 8, seeds, v)
    raw = parts(baseline, contender)
    pooled = pool(raw)

    def p_at(shift: float) -> np.ndarray:
        return two_sided_p(raw.estimate + shift, pooled.seeds, pooled.rows, pooled.nu)

    wrong = float((holm(p_at(0.0)) < 0.05).any(1).mean())
    assert wrong < 0.05
    assert float((p_at(0.0) < 0.05).mean()) < 0.05

    difference = contender.mean(2) - baseline.mean(2)
    rows_only = two_sided_p(raw.estimate, 0.0, difference.var(-1, ddof=1) / difference.shape[-1], 1)
    assert float((holm(rows_only) < 0.05).any(1).mean()) > 0.15

    true_se = np.sqrt(2 * v / seeds + 1)
    power = [float((holm(p_at(k * true_se)) < 0.05).mean()) for k in (2, 3, 4, 5)]
    np.testing.assert_allclose(power, [0.12, 0.45, 0.86, 0.99], atol=0.04)


def test_variance_components_are_unbiased() -> None:
    """Means over 2000 families against the variances they were drawn with (no clipping with large row variance)."""
    seeds, v = 3, 0.2
    raw = parts(*families(2000, 1, seeds, v))
    assert raw.seeds.mean() == pytest.approx(2 * v / seeds, rel=0.06)
    assert raw.noise.mean() == pytest.approx(v / seeds, rel=0.03)
    assert raw.rows.mean() == pytest.approx(1.0, rel=0.03)


def test_delta_m_interval_covers_with_missing_labels_and_shared_seeds() -> None:
    """Three tasks on 150 people, a third of the labels missing; a seed of the contender shifts all its tasks."""
    rng = np.random.default_rng(8)
    people, seeds, draws, truth = 240, 4, 250, 0.0
    covered = 0
    for _ in range(draws):
        person = 0.5 * rng.normal(size=people)
        shared = 0.03 * rng.normal(size=(seeds, 1))
        tasks = {}
        for name, level in (("a", 1.0), ("b", 3.0), ("c", 0.4)):
            places = np.flatnonzero(rng.random(people) < 2 / 3)
            effect = 0.3 * rng.normal(size=people)  # the contender is better for some people, worse for others
            noise = 0.2 * rng.normal(size=(2, seeds, people))
            own = 0.03 * rng.normal(size=(seeds, 1))
            baseline = level * (1 + own + person + noise[0])
            contender = level * (1 + shared + person + effect + noise[1])
            tasks[name] = TaskScores(baseline[:, places], contender[:, places], False, best=0.0, positions=places)
        found = delta_m_interval(tasks)
        covered += found.interval.low <= truth <= found.interval.high
    assert within(covered / draws, 0.95, draws)


def test_the_benchmark_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    runs = {name: rng.random((7, 40)) + 0.1 * rng.normal(size=(7, 1)) for name in ("hdl", "bmi")}
    np.savez(tmp_path / "runs.npz", **runs)
    arguments = ["verdicts.py", "--families", "8", "--nhanes", str(tmp_path / "runs.npz"), "--draws", "10"]
    monkeypatch.setattr(sys, "argv", arguments)
    runpy.run_path(str(BENCHMARK), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.count("\n| 8 |") == 12  # 3 values of v, 4 numbers of seeds
    assert "2 tasks, 7 seeds, 10 draws" in printed
    assert "(hdl)" in printed or "(bmi)" in printed
