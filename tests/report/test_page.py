import dataclasses
import html.parser
import json
import math
import re
import sys

import pytest
from synthetic_comparison import HARD, comparison, everything_else, hostile_names

pytest.importorskip("altair")
pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

from polytask.errors import MissingExtraError, RunError
from polytask.record.run import EpochRecord, GradientFacts, RunRecord, SourceFacts
from polytask.report import html as shell
from polytask.report.page import render, write_report

EVERY = {"comparison": comparison, **HARD}


class Reader(html.parser.HTMLParser):
    """What a browser would find: elements, attributes, and the text outside of scripts and styles."""

    VOID = frozenset({"meta", "link", "img", "br", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes the wrong element"

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render(make()) for name, make in EVERY.items()}


@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_whole_small_and_loads_nothing(pages: dict[str, str], name: str):
    page = pages[name]
    assert len(page.encode()) < 3_000_000
    read = Reader(page)
    assert read.open == []
    for tag, attributes in read.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(key.startswith("on") for key in attributes)
    policy = next(a["content"] for tag, a in read.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


@pytest.mark.parametrize("name", EVERY)
def test_every_place_of_a_chart_has_its_chart_and_its_text(pages: dict[str, str], name: str):
    read = Reader(pages[name])
    (source,) = [s for s in read.scripts if s.startswith('{"shapes"')] or ['{"charts": [], "shapes": []}']
    packed = json.loads(source)
    places = [int(a["data-chart"]) for _, a in read.elements if "data-chart" in a]
    assert sorted(places) == list(range(len(packed["charts"])))
    assert all(0 <= chart["shape"] < len(packed["shapes"]) for chart in packed["charts"])
    labels = [a["aria-label"] for _, a in read.elements if a.get("role") == "img"]
    assert len(labels) == len(places)
    assert all(labels)


@pytest.mark.parametrize("name", EVERY)
def test_no_unknown_number_is_printed(pages: dict[str, str], name: str):
    words = re.findall(r"[^\s\[\],]+", Reader(pages[name]).text.lower())
    assert not {"nan", "inf", "-inf", "−inf", "none", "+nan", "nan%", "undefined"} & set(words)


def test_the_page_says_what_the_record_says(pages: dict[str, str]):
    text = Reader(pages["comparison"]).text
    for part in (
        "Wide multi-task helped 1 of 9 tasks (diabetes); no evidence either way on 8.",
        "Narrow multi-task hurt 1 of 9 tasks (general health); no evidence either way on 8.",
        "+0.72 % [+0.39, +1.05]",
        "these two trained models only",
        "polytask compare nhanes.yaml --seeds 5",
        "6,401 rows",
        "2.13.0",
        "×0.12",
    ):
        assert part in text
    assert text.lower().count("no effect") == text.count("No evidence is not evidence of no effect.") == 1


def test_names_from_users_are_text_and_nothing_else(pages: dict[str, str]):
    page = pages["hostile_names"]
    read = Reader(page)
    assert "<script>alert('x')</script>" in read.text
    assert "{{ 7 * 7 }}" in read.text
    assert not any(tag == "img" for tag, _ in read.elements)
    assert sum(tag == "script" for tag, _ in read.elements) == sum(
        tag == "script" for tag, _ in Reader(pages["comparison"]).elements
    )
    (source,) = [s for s in read.scripts if s.startswith('{"shapes"')]
    assert "<" not in source
    assert "<script>alert('x')</script>" in json.dumps(json.loads(source))


def test_splits_fallbacks_and_skipped_steps_are_told(pages: dict[str, str]):
    text = Reader(pages["everything_else"]).text
    assert "answers with the single-task model for asthma" in text
    assert "Over repeated splits" in text
    assert "asthma, seed 3: 2 steps." in text
    assert "weak: two seeds" in text


def test_columns_of_one_task_get_their_own_picture():
    record = comparison()
    renamed = tuple(dataclasses.replace(d, task=f"{d.task}: column") for d in record.diagnostics)
    assert Reader(render(dataclasses.replace(record, diagnostics=renamed))).text.count("diabetes: column") == 1


def test_a_contender_without_verdicts_stands_aside():
    record = comparison()
    verdicts = tuple(v for v in record.verdicts if v.contender == "wide")
    text = Reader(render(dataclasses.replace(record, verdicts=verdicts))).text
    assert "Narrow multi-task was trained beside it, without verdicts; its mean relative gain is −0.41 %" in text


def history(epochs: int = 3) -> tuple[EpochRecord, ...]:
    return tuple(
        EpochRecord(
            epoch=e,
            steps=10 * e,
            seconds=0.5 * e,
            lr=1e-3,
            train={"a": 1 / e, "<b>": 1.0},
            validation={"a": 1.25 / e, "<b>": math.nan},
            metric={"a": 0.5 + 0.1 * e, "<b>": math.nan},
            gains={"a": 0.1 * e, "<b>": math.nan},
            gain=0.1 * e,
            weights={"a": 1.0 + 0.1 * e, "<b>": 1.0 - 0.1 * e},
            skipped={"<b>": 2} if e == 1 else {},
            gradients=GradientFacts(("a", "<b>"), 4, 0.25, (1.0, 2.0), (-0.5,)) if e == 2 else None,
        )
        for e in range(1, epochs + 1)
    )


def training_run(**changes: object) -> RunRecord:
    run = RunRecord(
        polytask="0.1.0",
        config={"tasks": ["a", "<b>"]},
        seed=7,
        sources=(SourceFacts("people", 100, origin="/data/people.csv", size=12_345, sha256="ab" * 32),),
        encoded="0",
        train_rows=80,
        validation_rows=20,
        parameters=33_300,
        status="finished",
        reason="all epochs done",
        steps=30,
        seconds=1.5,
        best_epoch=3,
        best_epoch_per_task={"a": 2},
        history=history(),
    )
    return dataclasses.replace(run, **changes)


def test_a_training_run_has_a_page_too(tmp_path):
    training_run().write(tmp_path)
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    read = Reader(path.read_text(encoding="utf-8"))
    assert "Finished after 3 epochs: all epochs done. The best epoch was 3." in read.text
    assert "a 2 0.5000 0.6250 0.7000 +20.0 %" in read.text  # the row of task a, at its own best epoch
    assert "<b>, 2." in read.text
    assert "does not say whether learning the tasks together helped" in read.text
    assert sum("data-chart" in a for _, a in read.elements) == 5  # two curves, weights, conflicts, cosines


def test_a_run_that_was_stopped_before_its_first_epoch_has_a_page():
    text = Reader(render(training_run(history=(), status="running", reason="", best_epoch=0))).text
    assert "Not finished yet" in text


def test_a_comparison_comes_before_the_training_run_in_one_folder(tmp_path):
    training_run().write(tmp_path)
    (tmp_path / "compare.json").write_text(everything_else().to_json(), encoding="utf-8")
    assert "Comparison" in write_report(tmp_path).read_text(encoding="utf-8")


def test_a_folder_with_neither_is_refused_and_left_alone(tmp_path):
    with pytest.raises(RunError, match=r"compare\.json"):
        write_report(tmp_path)
    (tmp_path / "compare.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunError, match="expected JSON"):
        write_report(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["compare.json"]


@pytest.mark.parametrize("package", ["altair", "jinja2", "vl_convert"])
def test_a_missing_extra_is_named(monkeypatch, package: str):
    shell.bundle.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r'pip install "polytask\[report\]"'):
        render(hostile_names())
