from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from polytask.app.yaml_file import DEPTH, dumped, overridden, parsed, plain_values, read_yaml
from polytask.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        ("-.5", -0.5),
        ("3.", 3.0),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("010", 10),
        ("+7", 7),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("2024-01-31", "2024-01-31"),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("~", None),
        ("null", None),
        ("'1'", "1"),
        ("[1, {2: a}]", [1, {"2": "a"}]),
    ],
)
def test_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = plain_values(text, "here")
    assert found == value
    assert type(found) is type(value)


def test_mistakes_have_a_line_and_a_column() -> None:
    with pytest.raises(ConfigError) as caught:
        parsed("data:\n  train: a.csv\n  test: {b\n", "c.yaml")
    assert caught.value.where == "c.yaml, line 4, column 1"


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x: {a: 1, a: 2}\n"])
def test_a_key_that_occurs_twice_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="'a' occurs twice"):
        parsed(text, "c.yaml")


def test_a_merge_is_no_doubled_key() -> None:
    assert parsed("base: &b {a: 1}\nx: {<<: *b, c: 2}\n", "c.yaml")["x"] == {"a": 1, "c": 2}


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "x: &a {y: *a}",
        "x: " + "[" * (DEPTH + 5) + "]" * (DEPTH + 5),
        "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(6)),
        "? [1, 2]\n: 3",
        "null: 3",
        "!!python/object/apply:os.system ['true']",
        "!!binary aGVsbG8=",
        "!!set {a, b}",
        "1" * 5000,
    ],
)
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parsed(f"k: {text}" if text[0] in "!1" else text, "c.yaml")


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "nhanes.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match="no such file") as caught:
        read_yaml(tmp_path / "nhane.yaml")
    assert caught.value.do is not None
    assert "'nhanes.yaml'" in caught.value.do
    (tmp_path / "latin.yaml").write_bytes("a: jö".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_yaml(tmp_path / "latin.yaml")
    with pytest.raises(ConfigError, match="folder"):
        read_yaml(tmp_path)


def test_overrides_reach_inside_and_keep_the_rest() -> None:
    raw = {"encoder": "mlp", "tasks": {"churn": "binary"}, "training": {"lr": 0.1, "epochs": 3}}
    raw = overridden(raw, "training.epochs=5")
    raw = overridden(raw, "encoder.width=16")
    raw = overridden(raw, "tasks.churn.weight=2")
    raw = overridden(raw, "data.exclude=[a, b]")
    assert raw == {
        "encoder": {"name": "mlp", "width": 16},
        "tasks": {"churn": {"kind": "binary", "weight": 2}},
        "training": {"lr": 0.1, "epochs": 5},
        "data": {"exclude": ["a", "b"]},
    }


@pytest.mark.parametrize("change", ["training", "=5", "seed.a=1", "training.lr=[", "training.lr={a: 1, a: 2}"])
def test_overrides_of_another_form_are_refused(change: str) -> None:
    with pytest.raises(ConfigError):
        overridden({"seed": 3, "training": {}}, change)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(VALUES, st.booleans())
def test_what_is_written_is_read_back(value: object, flow: bool) -> None:
    assert plain_values(dumped(value, flow=flow), "here") == value


@pytest.mark.parametrize("text", ["no", "1e-3", "1e3", "null", "2024-01-31", "010", "true", "", "# a", "a: b", "0x1"])
def test_other_readers_take_written_text_for_text_too(text: str) -> None:
    assert yaml.safe_load(dumped(text)) == text
    assert plain_values(dumped(text, flow=True), "here") == text
