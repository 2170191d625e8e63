"""The documents say what is true: their Python runs as printed, their configurations load, their names exist."""

from __future__ import annotations

import ast
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import yaml

import polytask
from polytask.app.cli import COMMANDS
from polytask.app.config import SECTIONS
from polytask.tasks import TASKS

ROOT = Path(__file__).parents[1]
PAGES = (
    "README",
    "docs/balancing",
    "docs/engine",
    "docs/data",
    "docs/text-data",
    "docs/text-tasks",
    "docs/text",
    "docs/adapting",
    "docs/training",
    "docs/artefact",
)
"""Pages with Python that runs; those of CONTRIBUTING have a test file of their own."""
DOCUMENTS = [str(path.relative_to(ROOT).with_suffix("")) for path in sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "hello")
SHORT = {
    "related_tasks": "--schemes single_mtan hard single aitm --cosines 0 1 --seeds 2 --test 50 --epochs 1",
    "toy_landscape": "--methods equal upgrad --steps 20",
    "gradnorm_toy": "--steps 3 --seeds 1",
    "pos_ner": "--sentences 60 --epochs 1 --seeds 2",
    "sentiment_entities": "--sentences 60 --epochs 1 --seeds 2",
}
"""Arguments that make an example short."""
NEEDS = {"pos_ner": ("ud_english_ewt", "uner_english_ewt", "wnut17"), "sentiment_entities": ("vader", "wnut17")}
"""Folders of POLYTASK_DATA that an example reads."""
SAYS = {
    "related_tasks": "| `single_mtan`    | 1.0 |",
    "toy_landscape": "upgrad       from",
    "gradnorm_toy": "gradnorm  seed 0",
    "pos_ner": "multi-task, equal weights against single-task",
    "sentiment_entities": "multi-task, equal weights against single-task",
}
"""What an example prints; others print scores by metric."""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / f"{page}.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def customers(rows: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    age, plan = rng.normal(50, 10, rows), rng.choice(["basic", "plus"], rows)
    churn = rng.random(rows) < 1 / (1 + np.exp((age - 50) / 5))
    return pl.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(rows)],
            "age": age,
            "plan": plan,
            "churn": churn,
            "spend": np.exp(1 + age / 50 + 0.1 * rng.normal(size=rows)),
        }
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small models are fastest so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the documents name."""
    table = customers()
    people = table.drop("customer_id")
    table.write_csv(tmp_path / "customers.csv")
    table.drop("churn", "spend").write_csv(tmp_path / "new_customers.csv")
    people.write_csv(tmp_path / "people.csv")
    people.write_parquet(tmp_path / "huge.parquet")
    people.drop("churn").write_parquet(tmp_path / "lab.parquet")
    people.drop("spend", "plan").write_csv(tmp_path / "interviews.csv")
    people.drop("churn", "spend").write_csv(tmp_path / "new.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given() -> dict[str, Any]:
    """What the snippets of a page take for granted."""
    trunk = torch.nn.Linear(2, 3)
    z = trunk(torch.ones(4, 2)).square()
    tasks = [polytask.Binary("churn"), polytask.Regression("spend")]
    return {
        "polytask": polytask,
        "learner": polytask.Learner(tasks, exclude=[], training={"epochs": 2}),
        "trunk": trunk,
        "loss_a": z.mean(),
        "loss_b": z.sum(),
        "optimizer": torch.optim.SGD(trunk.parameters(), lr=0.1),
    }


@pytest.mark.parametrize("page", PAGES)
def test_python_in_the_documents_runs_as_printed(page: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = given()
    if page == "docs/artefact":
        names["learner"].fit("people.csv").save("model")
    found = blocks(page, "python")
    assert found
    for number, block in enumerate(found):
        exec(compile(block, f"{page}.md, block {number + 1}", "exec"), names)
    if page == "README":
        said = capsys.readouterr().out
        assert "general_health" in said  # the scores of the survey
        assert "churn" in said  # the comparison
        assert (desk / "model" / "weights.safetensors").is_file()


def test_the_hello_of_the_readme_is_the_example() -> None:
    """The README's first block runs above, and so the example does."""
    hello, printed = (ROOT / "examples" / "hello.py").read_text("utf-8"), blocks("README", "python")[0]
    assert hello.endswith(f"\n\n{printed}")
    assert len([line for line in printed.splitlines() if line.strip()]) <= 6


@pytest.mark.filterwarnings("ignore:task .* holds labels that training never saw:UserWarning")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    data = Path(os.environ.get("POLYTASK_DATA", "nowhere"))
    if absent := [folder for folder in NEEDS.get(path.stem, ()) if not (data / folder).is_dir()]:
        pytest.skip(f"POLYTASK_DATA has no {', '.join(absent)}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(path.parent))
    monkeypatch.setattr(sys, "argv", [str(path), *SHORT.get(path.stem, "").split()])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    assert SAYS.get(path.stem, "metric") in said
    assert "nan" not in said.lower()


@pytest.mark.parametrize("cosine", [0.0, 0.5, 1.0, -0.3])
def test_related_tasks_are_as_related_as_they_say(cosine: float) -> None:
    """The cosine is exact; labels follow the formula of the two directions up to noise of variance 0.01."""
    example = runpy.run_path(str(ROOT / "examples" / "related_tasks.py"))
    w = example["directions"](cosine, 50, np.random.default_rng(1))
    np.testing.assert_allclose(w @ w.T, [[1, cosine], [cosine, 1]], atol=1e-12)
    rows = example["table"](cosine, 0, 4000, features=5)
    x = rows.drop("y1", "y2").to_numpy()
    along = x @ example["directions"](cosine, 5, np.random.default_rng(0)).T
    waves = sum(np.sin(a * along + b) for a, b in zip((0.5, 1.0, 1.5, 2.0, 2.5), range(5), strict=True))
    noise = rows.select("y1", "y2").to_numpy() - along - waves
    np.testing.assert_allclose(noise.T @ noise / len(noise), 0.01 * np.eye(2), atol=1e-3)
    halves = example["table"](cosine, 0, 4000, features=5, labels="one")
    assert (halves["y1"].is_null() != halves["y2"].is_null()).all()
    assert 1900 < halves["y1"].null_count() < 2100
    both = rows.with_columns(pl.when(halves[name].is_not_null()).then(name).alias(name) for name in ("y1", "y2"))
    assert both.equals(halves)


@pytest.mark.parametrize("page", DOCUMENTS)
def test_configurations_in_the_documents_name_known_sections(page: str) -> None:
    for block in blocks(page, "yaml"):
        mapping = yaml.safe_load(block)
        assert set(mapping) <= set(SECTIONS), f"{page}: {sorted(set(mapping) - set(SECTIONS))}"


def test_the_readme_names_the_commands_that_are_there() -> None:
    named = set(re.findall(r"^polytask (\w+)", "\n".join(blocks("README", "sh")), re.MULTILINE))
    assert named <= set(COMMANDS)
    assert named >= {"init", "check", "train", "compare", "evaluate", "predict", "report", "list"}


def test_the_names_in_the_contracts_exist() -> None:
    defined: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                defined.add(node.name)
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## The contracts")[2]
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    code = re.sub(r"#.*", "", code)
    named = {part for name in re.findall(r"\b([A-Za-z_][\w.]*)\(", code) for part in name.split(".")}
    variables = {"schema", "table", "model", "method", "balancer", "step", "learner", "nn", "pl"}
    assert len(named) > 40
    assert named - variables - {"Module", "ABC"} <= defined


def test_the_changelog_and_readme_name_what_is_in_the_catalogue_of_tasks() -> None:
    log = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert all(f"`{kind}`" in log for kind in TASKS)
    words = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen")
    assert f"Tasks of {words[len(list(TASKS)) - 10]} kinds" in (ROOT / "README.md").read_text("utf-8")
