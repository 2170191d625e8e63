import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.errors import RunError
from polytask.record.compare import (
    FORMAT,
    CompareRecord,
    ContenderFacts,
    CostFacts,
    Curve,
    DataFacts,
    ScoreFacts,
    Source,
    TaskFacts,
    VerdictFacts,
    WeightTrace,
)

NAN = math.nan


def small(**changes: object) -> CompareRecord:
    record = CompareRecord(
        title="Two tasks",
        created="2026-02-03T10:20:30+00:00",
        statement="About training runs.",
        data=DataFacts((Source("people", 10, "people.csv"),), 6, 2, 2, ("age", "größe")),
        tasks=(TaskFacts("a", "binary", "AUC", True, 6, 2, missing_rate=0.25, rare_rows=1),),
        seeds=(0, 1),
        baseline="single",
        contenders=(
            ContenderFacts("single", "single-task", "single"),
            ContenderFacts("multi", "multi-task", "multi", config={"balancer": {"name": "dwa", "temperature": 2.0}}),
        ),
        scores=(ScoreFacts("single", "a", {"AUC": (0.5, 0.1 + 0.2)}),),
        verdicts=(VerdictFacts("multi", "a", "AUC", "no evidence", 0.01, (-0.02, 0.04), p=0.4, mde=0.05, seeds=2),),
        mean_rank={"single": 1.5, "multi": 1.5},
        costs=(CostFacts("single", 1, parameters=12345.0),),
        curves=(Curve("multi", "a", 0, (1, 2), (1.0, 0.5), best_epoch=2),),
        weights=(WeightTrace("multi", 0, (1, 2), ("a",), ((1.0,), (1.0,))),),
    )
    return dataclasses.replace(record, **changes)


def test_what_is_written_is_read_back_exactly():
    record = small(curves=(), costs=(), tasks=(), verdicts=())  # no NaN left in it: equality is meaningful
    assert CompareRecord.from_json(record.to_json()) == record


def test_unknown_numbers_are_null_in_the_file_and_nan_in_python():
    record = small(scores=(ScoreFacts("single", "a", {"AUC": (NAN, math.inf, -math.inf, 1.0)}),))
    text = record.to_json()
    plain = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert plain["scores"][0]["metrics"]["AUC"] == [None, None, None, 1.0]
    back = CompareRecord.from_json(text).scores[0].metrics["AUC"]
    assert [math.isnan(value) for value in back] == [True, True, True, False]
    assert CompareRecord.from_json(text).to_json() == text


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.text())
def test_every_float_and_every_text_survives(values: list[float], text: str):
    clean = text.encode("utf-16", "ignore").decode("utf-16")  # lone surrogates are no text
    record = small(scores=(ScoreFacts("single", clean, {"m": tuple(values)}),))
    back = CompareRecord.from_json(record.to_json())
    assert back.scores[0].metrics["m"] == tuple(values)
    assert back.scores[0].task == clean


def test_a_number_may_be_written_without_a_point():
    plain = json.loads(small().to_json())
    plain["mean_rank"]["single"] = 1
    assert CompareRecord.from_json(json.dumps(plain)).mean_rank["single"] == 1.0


def test_the_file_has_a_line_per_entry():
    lines = small().to_json().splitlines()
    assert sum(line.lstrip().startswith('{"name": "single"') for line in lines) == 1
    assert max(map(len, lines)) < 1000


def test_a_newer_format_is_refused_with_advice():
    plain = json.loads(small().to_json()) | {"format": FORMAT + 1}
    with pytest.raises(RunError, match=rf"runs/x: format {FORMAT + 1} is newer(.|\n)*Update Polytask"):
        CompareRecord.from_json(json.dumps(plain), where="runs/x")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"seeds": ["zero"]}, "seeds.0"),
        ({"title": None}, "title"),
        ({"contenders": [{"name": "x", "title": "x", "kind": "other"}]}, "contenders.0.kind"),
        ({"mean_rank": {"single": "first"}}, "mean_rank.single"),
        ({"baseline": "nobody"}, "nobody"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(change: dict[str, object], place: str):
    with pytest.raises(RunError, match=place.replace(".", r"\.")):
        CompareRecord.from_json(json.dumps(json.loads(small().to_json()) | change))


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"format": "1"}', "\x00", small().to_json()[:400]])
def test_anything_else_is_a_run_error(text: str):
    with pytest.raises(RunError):
        CompareRecord.from_json(text)


def test_bytes_that_are_no_text_are_a_run_error():
    with pytest.raises(RunError, match="expected JSON"):
        CompareRecord.from_json(b"\xff\xfe\xfa")


def test_a_folder_without_a_comparison_is_named(tmp_path):
    with pytest.raises(RunError, match="polytask compare"):
        CompareRecord.read(tmp_path)
    (tmp_path / "compare.json").write_text(small().to_json(), encoding="utf-8")
    assert CompareRecord.read(tmp_path).data.features == ("age", "größe")


def test_the_baseline_must_be_a_contender():
    with pytest.raises(RunError, match="'nobody'"):
        small(baseline="nobody")
