import dataclasses
import json
import math

import pytest
from synthetic_comparison import HARD, comparison, nothing_known, sixty_tasks

pytest.importorskip("altair")

from polytask.record.compare import Curve, GradientTrace, WeightTrace
from polytask.report.charts.calibration import calibration
from polytask.report.charts.costs import costs
from polytask.report.charts.curves import POINTS, curves
from polytask.report.charts.forest import domain, forest
from polytask.report.charts.gradients import conflicts, cosine_rows, cosines
from polytask.report.charts.residual import residual
from polytask.report.charts.weights import weight_rows, weights


def every_chart(record):
    yield from (forest(record, contender) for contender in record.contenders)
    yield from (weights(record, contender) for contender in record.contenders)
    for task in record.tasks:
        yield from (curves(record, task), calibration(record, task.name), residual(record, task.name))
    yield from (cosines(record, contender) for contender in record.contenders)
    yield from (conflicts(record), costs(record))


@pytest.mark.parametrize("make", [comparison, *HARD.values()], ids=["comparison", *HARD])
def test_charts_are_plain_json_that_loads_nothing(make):
    drawn = [chart for chart in every_chart(make()) if chart is not None]
    for chart in drawn:
        text = json.dumps([chart.spec, chart.tables], allow_nan=False)
        assert "http" not in text
        assert '"url"' not in text
        assert chart.text.endswith(".")
    assert drawn


def test_every_spec_is_valid_vega_lite():
    import altair as alt

    for chart in filter(None, every_chart(comparison())):
        alt.Chart.from_dict({"data": {"values": []}, **chart.spec}, validate=True)


def test_the_forest_shows_what_the_record_says():
    record = comparison()
    chart = forest(record, record.contenders[1])
    (row,) = [row for row in chart.tables["rows"] if row["task"] == "diabetes"]
    (verdict,) = [v for v in record.verdicts if v.contender == "wide" and v.task == "diabetes"]
    assert row["gain"] == pytest.approx(5.6, rel=1e-4)
    assert (row["low"], row["high"]) == pytest.approx(verdict.relative_interval, rel=1e-4)
    assert (row["rows_low"], row["rows_high"]) == pytest.approx(verdict.relative_rows_only, rel=1e-4)
    assert row["is"] == "helped"
    assert chart.tables["mean"][0]["gain"] == 0.72
    low, high = domain(record)
    assert all(low <= v.relative_gain <= high for v in record.verdicts)


def test_one_huge_interval_does_not_flatten_the_others():
    record = comparison()
    wild = dataclasses.replace(record.verdicts[0], relative_interval=(-5000.0, 5000.0))
    low, high = domain(dataclasses.replace(record, verdicts=(wild, *record.verdicts[1:])))
    assert high - low < 30


def test_curves_are_means_with_the_range_of_the_seeds():
    record = comparison()
    two = tuple(
        Curve("wide", "asthma", seed, (1, 2, 3), (), values, best_epoch=2)
        for seed, values in enumerate([(1.0, 0.5, math.nan), (0.8, 0.7, math.inf)])
    )
    chart = curves(dataclasses.replace(record, curves=two), record.tasks[7])
    rows = chart.tables["rows"]
    assert [(r["e"], r["v"], r["l"], r["h"]) for r in rows] == [(1, 0.9, 0.8, 1.0), (2, 0.6, 0.5, 0.7)]
    assert [(r["e"], r["v"]) for r in chart.tables["best"]] == [(2, 0.5), (2, 0.7)]


def test_an_epoch_that_few_seeds_reached_is_not_averaged():
    record = comparison()
    three = tuple(Curve("wide", "asthma", s, tuple(range(1, n + 1)), (), (0.5,) * n) for s, n in enumerate([2, 2, 9]))
    chart = curves(dataclasses.replace(record, curves=three), record.tasks[7])
    assert [row["e"] for row in chart.tables["rows"]] == [1, 2]


def test_long_curves_are_thinned_and_keep_their_ends():
    record = sixty_tasks()
    long = tuple(Curve("wide", t.name, 0, tuple(range(1, 3001)), (), (0.5,) * 3000) for t in record.tasks)
    record = dataclasses.replace(record, curves=long)
    found = [curves(record, task).tables["rows"] for task in record.tasks]
    assert sum(map(len, found)) <= POINTS
    assert all((rows[0]["e"], rows[-1]["e"]) == (1, 3000) for rows in found)


def test_weights_are_in_units_of_an_equal_share():
    traces = [WeightTrace("m", s, (1,), ("a", "b"), ((1.0, 3.0),)) for s in (0, 1)]
    rows, tasks = weight_rows([*traces, WeightTrace("m", 2, (1,), ("a", "b"), ((10.0, 10.0),))])
    assert tasks == ["a", "b"]
    assert [row["w"] for row in rows] == [pytest.approx(2 / 3, abs=1e-3), pytest.approx(4 / 3, abs=1e-3)]


def test_constant_weights_need_no_chart():
    record = comparison()
    assert weights(record, record.contenders[1]) is None
    assert weights(record, record.contenders[2]) is not None


def test_nothing_known_draws_nothing_wrong():
    record = nothing_known()
    assert all(forest(record, contender) is None for contender in record.contenders)
    assert all(curves(record, task) is None for task in record.tasks)


def traces():
    one = GradientTrace("wide", 0, ("a", "b", "c"), (1, 2), (0.5, 0.25), (0.5, -0.3, math.nan))
    two = GradientTrace("wide", 1, ("a", "b", "c"), (1, 2), (0.1, math.nan), (0.3, -0.1, math.nan))
    return [one, two]


def test_cosines_are_means_over_seeds_both_ways_round():
    rows, tasks = cosine_rows(traces())
    assert tasks == ["a", "b", "c"]
    assert [(r["a"], r["b"], r["v"], r["s"]) for r in rows] == [
        ("a", "b", 0.4, "agree"),
        ("a", "c", -0.2, "point apart"),
        ("b", "a", 0.4, "agree"),
        ("c", "a", -0.2, "point apart"),
    ]
    assert cosine_rows([]) == ([], [])


def test_conflicts_are_means_over_the_seeds_that_know_them():
    record = dataclasses.replace(comparison(), gradients=tuple(traces()))
    chart = conflicts(record)
    assert [(r["c"], r["e"], r["s"]) for r in chart.tables["rows"]] == [("wide", 1, 0.3), ("wide", 2, 0.25)]
    assert "wide multi-task 25 %" in chart.text
    assert "a and c -0.20" in cosines(record, record.contenders[1]).text
    assert cosines(record, record.contenders[2]) is None
    assert conflicts(dataclasses.replace(record, gradients=())) is None


def test_forty_tasks_fit_into_a_map_without_numbers():
    tasks = tuple(f"task {i}" for i in range(40))
    values = tuple(math.sin(i) for i in range(40 * 39 // 2))
    record = comparison()
    trace = GradientTrace("wide", 0, tasks, (1,), (0.4,), values)
    chart = cosines(dataclasses.replace(record, gradients=(trace,)), record.contenders[1])
    assert len(chart.tables["rows"]) == 40 * 39
    assert "layer" not in chart.spec
    assert chart.spec["height"] <= 600
