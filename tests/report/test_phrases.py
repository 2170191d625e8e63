import math

import pytest
from synthetic_comparison import comparison, everything_else, nothing_known

from polytask.report import phrases
from polytask.report.html import minus
from polytask.report.reading import challengers, finding, price, score, tally


@pytest.mark.parametrize(
    ("spread", "places"),
    # The rounding rule of the Particle Data Group: 0.827 -> 0.8, 0.367 -> 0.4, 0.119 -> 0.12, 0.0958 -> 0.10
    [(0.827, 1), (0.367, 1), (0.119, 2), (0.0958, 2), (12.0, 0), (350.0, 0), (0.0, 3), (math.nan, 3), (math.inf, 3)],
)
def test_decimals_follow_the_uncertainty(spread: float, places: int):
    assert phrases.decimals(spread) == places


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (phrases.number(-0.0001, 2, sign=True), "0.00"),
        (phrases.number(-1234.5, 1), "-1,234.5"),
        (phrases.number(math.nan), "–"),
        (phrases.number(math.inf), "–"),
        (phrases.number(3e12, 2), "3.00e+12"),
        (phrases.interval((-0.5, 0.25), 2), "[-0.50, +0.25]"),
        (phrases.interval((math.nan, 1.0), 2), ""),
        (phrases.count(281_250), "281 k"),
        (phrases.count(9_999), "9,999"),
        (phrases.count(3_400_000), "3.40 M"),
        (phrases.duration(0.0021), "2.1 ms"),
        (phrases.duration(6.4), "6.4 s"),
        (phrases.duration(600), "10.0 min"),
        (phrases.duration(7200), "2.0 h"),
        (phrases.storage(139_000), "139 KB"),
        (phrases.storage(12), "12 B"),
        (phrases.ratio(1, 9), "×0.11"),
        (phrases.ratio(2700, 281250), "×0.0096"),
        (phrases.ratio(1, 0), ""),
        (phrases.ratio(math.nan, 1), ""),
        (phrases.probability(1e-9), "< 0.0001"),
        (phrases.probability(0.0312), "0.031"),
        (phrases.probability(1.0), "1"),
        (phrases.share(0.071), "7.1 %"),
        (phrases.listing([]), ""),
        (phrases.listing(["a"]), "a"),
        (phrases.listing(["a", "b", "c"]), "a, b and c"),
        (phrases.listing(list("abcdefgh"), most=4), "a, b, c and 5 more"),
        (minus("-0.1 [-0.2, 0.1] of 2017-2018"), "−0.1 [−0.2, 0.1] of 2017-2018"),
    ],
)
def test_numbers_in_words(written: str, expected: str):
    assert written == expected


def test_a_finding_counts_what_the_record_says():
    record = comparison()
    for contender in challengers(record):
        counts = tally(record, contender.name)
        assert sum(counts.values()) == len(record.tasks)
        own = [v.verdict for v in record.verdicts if v.contender == contender.name]
        assert counts == {word: own.count(word) for word in counts}
    wide, narrow = challengers(record)
    assert finding(record, wide) == "Wide multi-task helped 1 of 9 tasks (diabetes); no evidence either way on 8."
    assert "hurt 1 of 9 tasks (general health)" in finding(record, narrow)


def test_an_auxiliary_task_is_not_counted():
    record = everything_else()
    assert sum(tally(record, "wide").values()) == 8
    assert "of 8 tasks" in finding(record, challengers(record)[0])


def test_the_price_is_a_ratio_to_the_baseline():
    record = comparison()
    told = price(record, challengers(record)[0])
    # 33,300 / 281,250 parameters, 1.5 / 6.4 seconds, 2.3 / 11.9 ms
    assert told == (
        "It keeps 1 model in place of 9, at 0.12 times the parameters, 0.23 times the training time and "
        "0.19 times the prediction time."
    )
    assert price(nothing_known(), challengers(record)[0]) == "It keeps 1 model in place of 9."


def test_a_score_is_mean_and_standard_deviation_of_finite_values():
    record = comparison()
    (found,) = [s.metrics["AUC"] for s in record.scores if s.contender == "wide" and s.task == "asthma"]
    mean = sum(found) / 5
    sd = math.sqrt(sum((value - mean) ** 2 for value in found) / 4)
    got = score(record, "wide", "asthma", "AUC")
    assert got.mean == pytest.approx(mean, rel=1e-12)
    assert got.sd == pytest.approx(sd, rel=1e-12)
    assert score(nothing_known(), "wide", "asthma", "AUC").text(3) == "–"
