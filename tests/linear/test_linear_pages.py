"""Every estimator has its page, whose example runs, and whose advice names estimators that there are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from polytask import linear
from polytask.app.linear_pages import linear_pages
from polytask.linear.guide import GUIDE

PAGES = linear_pages("made")
DOCS = Path(__file__).parents[2] / "docs"


def test_every_estimator_has_its_page():
    assert [name for name in linear.ESTIMATORS if not name.endswith("_classifier")] == list(GUIDE)
    assert list(PAGES) == [f"linear/{name}.md" for name in GUIDE]
    chooser = (DOCS / "linear.md").read_text("utf-8")
    for page in PAGES:
        assert f"]({page})" in chooser, f"docs/linear.md does not lead to {page}"


@pytest.mark.parametrize("name", GUIDE)
def test_the_example_runs(name):
    (block,) = re.findall(r"```python\n(.*?)```", PAGES[f"linear/{name}.md"], re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)
    for code, _ in GUIDE[name].look:
        value = eval(code, names)
        assert np.all(np.isfinite(np.asarray(value, dtype=float))) if not _is_text(value) else len(value)
    assert names["model"].score(names["X"], names["y"], tasks=names["tasks"]) > 0.4


def _is_text(value: object) -> bool:
    return np.asarray(value).dtype.kind in "OSU"


@pytest.mark.parametrize("name", GUIDE)
def test_the_page_says_it_all(name):
    page = PAGES[f"linear/{name}.md"]
    for heading in ("Objective", "When", "Example", "Arguments", "Learned", "Sources"):
        assert f"\n## {heading}\n" in page, f"{name}: write of it into the docstring"
    for word in re.findall(r"`([A-Z]\w+)`", GUIDE[name].rather):
        assert word in linear.__all__
    rows = re.findall(r"^\| `\w+` \| `.*?` \| (.*) \|$", page, re.MULTILINE)
    assert rows
    assert all(rows), f"{name}: an argument without a meaning"


def test_the_outlier_of_the_examples_is_found():
    (block,) = re.findall(r"```python\n(.*?)```", PAGES["linear/robust.md"], re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)
    outliers = eval(GUIDE["robust"].look[1][0], names)
    assert "d" in list(outliers)
