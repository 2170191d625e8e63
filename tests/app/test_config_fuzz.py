"""Whatever a configuration holds, the answer is a configuration or an error for the user: never anything else."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from polytask.app.cli import main
from polytask.app.config import RECIPE, SECTIONS, Config
from polytask.app.reading import resolve
from polytask.app.yaml_file import dumped, overridden, parsed
from polytask.errors import UserError

BOUNDED = settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

WORDS = st.sampled_from(
    ["mlp", "resnet", "equal", "dwa", "hard", "random", "group", "binary", "ordinal", "multilabel", "name", "kind",
     "width", "test", "lr", "epochs", "weight", "columns", "levels", "churn", "a.csv", "", "os:system", "x:y:z", "a/b"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.integers() | st.floats() | WORDS | st.text(max_size=6)
KEYS = WORDS | st.text(max_size=4)
VALUES = st.recursive(LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS, v, max_size=3), max_leaves=6)
TASK = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS | st.text(max_size=3),
        "kind": st.sampled_from(["binary", "multiclass", "multilabel", "ordinal", "regression", "count"]) | VALUES,
        "columns": st.lists(st.text(max_size=3), max_size=2) | VALUES,
        "weight": st.floats() | VALUES,
        "metric": WORDS,
        "levels": VALUES,
        "loss": VALUES,
        "role": st.sampled_from(["primary", "auxiliary", "x"]),
    },
)
RECIPES = dict.fromkeys(RECIPE, VALUES)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(SECTIONS, VALUES),
        "data": st.fixed_dictionaries(
            {"train": st.just("a.csv") | VALUES}, optional={"split": VALUES, "exclude": VALUES}
        )
        | VALUES,
        "tasks": st.dictionaries(KEYS, TASK | WORDS, max_size=3) | st.lists(TASK, max_size=3) | VALUES,
        "compare": st.fixed_dictionaries(
            {},
            optional={
                "seeds": VALUES,
                "contenders": st.dictionaries(KEYS, st.fixed_dictionaries({}, optional=RECIPES), max_size=2),
            },
        ),
    },
)


@BOUNDED
@given(CONFIGS)
def test_any_mapping(raw: dict[str, Any]) -> None:
    with suppress(UserError):
        assert isinstance(resolve(raw), Config)


@BOUNDED
@given(CONFIGS)
def test_what_was_accepted_is_accepted_again(raw: dict[str, Any]) -> None:
    try:
        config = resolve(raw)
    except UserError:
        return
    again = resolve(parsed(dumped(config.to_mapping()), "again"))
    assert again.to_mapping() == config.to_mapping()


TEXTS = st.text(max_size=40) | st.lists(
    st.sampled_from(["data", "tasks", ":", ": ", "\n", "  ", "- ", "{", "}", "[", "]", ",", "&a", "*a", "!!", "'", '"',
                     "#", "|", ">", "?", "\t", "1e-3", ".nan", "mlp", "train", "a.csv", "<<", "%", "---", "...",
                     "\u2028"]),
    max_size=25,
).map("".join)  # fmt: skip


@BOUNDED
@given(TEXTS)
def test_any_text(text: str) -> None:
    with suppress(UserError):
        assert isinstance(resolve(parsed(text, "c.yaml")), Config)


KEY = st.sampled_from(
    [*SECTIONS, "encoder.width", "tasks.churn.weight", "data.split", "a..b", ".", "compare.contenders.x"]
)


@BOUNDED
@given(st.lists(st.text(max_size=12) | st.tuples(KEY, TEXTS).map("=".join), min_size=1, max_size=3))
def test_any_override(changes: list[str]) -> None:
    raw: dict[str, Any] = {"data": {"train": "a.csv"}, "tasks": {"churn": "binary"}, "encoder": "mlp"}
    with suppress(UserError):
        for change in changes:
            raw = overridden(raw, change)
        assert isinstance(resolve(raw), Config)


@settings(BOUNDED, max_examples=60)
@given(CONFIGS.map(dumped) | TEXTS | st.binary(max_size=40))
def test_no_traceback_reaches_the_user(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path: Path = tmp_path_factory.mktemp("fuzz") / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    for command in ("check", "train", "compare"):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main([command, str(path)])
        assert code == 2, err.getvalue()
        assert err.getvalue().startswith("Error: ")
        assert "Traceback" not in err.getvalue()
        assert out.getvalue() == ""


CELLS = st.sampled_from(
    ["1", "2.5", "-3e4", "yes", "no", "", "NA", "nan", "inf", "1e400", '"a,b"', '"', "é", "2024-01-31", " ", "x" * 50]
)
TABLES = st.lists(st.lists(CELLS, min_size=1, max_size=4).map(",".join), max_size=12).map("\n".join)


@settings(BOUNDED, max_examples=80)
@given(
    st.sampled_from(["churn,x\n", "x,churn\n", "churn,churn\n", "", "churn\n", "\ufeffx,churn\n", "x;churn\n"]),
    TABLES | st.text(max_size=60),
)
def test_any_table(tmp_path_factory: pytest.TempPathFactory, head: str, body: str) -> None:
    folder = tmp_path_factory.mktemp("table")
    (folder / "a.csv").write_bytes((head + body).encode("utf-8", "surrogatepass"))
    (folder / "c.yaml").write_text("data: {train: a.csv}\ntasks: {churn: binary}\n")
    for words in (
        ["check", str(folder / "c.yaml")],
        ["init", str(folder / "a.csv"), "--targets", "churn", "--out", str(folder / "o.yaml")],
    ):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(words)
        assert code in (0, 2), err.getvalue()
        assert "Traceback" not in err.getvalue()
