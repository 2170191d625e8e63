"""A small table, a configuration for it, and the command line called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
from people_table import CONFIG, Polytask, Result, people

from polytask.app.cli import main


@pytest.fixture
def polytask(capfd: pytest.CaptureFixture[str]) -> Polytask:
    """``polytask("check", "c.yaml")`` -> exit code, stdout, stderr."""

    def call(*words: object) -> Result:
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: ``people.csv`` and ``c.yaml``."""
    monkeypatch.chdir(tmp_path)
    people().write_csv("people.csv")
    Path("c.yaml").write_text(CONFIG)
    return tmp_path
