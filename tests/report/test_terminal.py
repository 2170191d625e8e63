import dataclasses
import io

import pytest
from rich.console import Console
from synthetic_comparison import HARD, comparison, everything_else, hostile_names

from polytask.record.compare import CompareRecord, ContenderFacts, DataFacts, ScoreFacts, TaskFacts, VerdictFacts
from polytask.report.terminal import print_comparison


def printed(record, *, width: int = 100, encoding: str = "utf-8", terminal: bool = False) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, force_terminal=terminal, color_system="truecolor" if terminal else None)
    print_comparison(record, console)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_each_task_is_one_line_with_its_numbers_and_word():
    lines = printed(comparison()).splitlines()
    (diabetes,) = [line for line in lines if line.lstrip().startswith("diabetes") and "+0.0099" in line]
    assert "AUC ↑" in diabetes
    assert "[+0.0079, +0.0119]" in diabetes
    assert "helped" in diabetes
    asthma = next(line for line in lines if line.lstrip().startswith("asthma"))
    assert "+0.001 [-0.006, +0.007]" in asthma
    assert asthma.split("no evidence")[1].strip() == "0.013"  # the minimum detectable effect


def test_a_pipe_gets_no_colour_and_at_most_100_columns():
    text = printed(comparison())
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_terminal_gets_colour():
    assert "\x1b[1;32mhelped" in printed(comparison(), width=120, terminal=True)


def test_nothing_is_called_no_effect():
    text = printed(comparison()).lower()
    assert "no effect" not in text
    assert "no evidence" in text


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("width", [40, 100])
def test_hard_records_print(name: str, width: int):
    text = printed(HARD[name](), width=width, terminal=width < 100)
    assert "nan" not in text.lower().replace("nanometre", "")
    assert "inf" not in text.lower().replace("information", "")


def test_a_terminal_without_unicode_is_served():
    text = printed(everything_else(), encoding="ascii")
    assert "+-" in text
    assert "delta-m" in text


def test_names_are_never_read_as_markup():
    assert "[bold red]a & b</td>" in printed(hostile_names(), width=160, terminal=True)


def test_costs_splits_and_the_rest_are_told():
    text = printed(everything_else())
    for part in ("x0.12", "×0.12"):
        if part in text:
            break
    else:
        pytest.fail("no ratio of parameters")
    assert "Over repeated splits" in text
    assert "The artefact answers with the single-task model for: asthma." in text
    assert "Skipped because a loss was not finite: 2 steps (asthma)." in text
    assert "general health: auxiliary." in text


def test_numbers_stay_on_one_line_where_they_fit_exactly():
    record = comparison()
    fine = [dataclasses.replace(v, interval=(v.estimate - 0.0011, v.estimate + 0.0011)) for v in record.verdicts]
    text = printed(dataclasses.replace(record, verdicts=tuple(fine)))
    assert "+0.0099 [+0.0088, +0.0110]" in text


def test_one_seed_shows_the_interval_of_the_two_trained_models() -> None:
    verdict = VerdictFacts(
        contender="multi", task="a", metric="rmse", verdict="no verdict", estimate=0.5, rows_only=(0.25, 0.75), seeds=1,
        rows=300, note="one seed: verdict withheld; the interval speaks about these two trained models only",
    )  # fmt: skip
    record = CompareRecord(
        title="one seed",
        created="2026-01-01T00:00:00+00:00",
        statement="",
        data=DataFacts((), 100, 10, 300),
        tasks=(TaskFacts("a", "regression", "rmse", False, 100, 300),),
        seeds=(0,),
        baseline="single",
        contenders=(ContenderFacts("single", "single-task", "single"), ContenderFacts("multi", "multi-task", "multi")),
        scores=(ScoreFacts("single", "a", {"rmse": (2.0,)}), ScoreFacts("multi", "a", {"rmse": (1.5,)})),
        verdicts=(verdict,),
    )
    text = printed(record)
    assert "+0.50 [+0.25, +0.75]" in text
    assert "these two trained" in text
