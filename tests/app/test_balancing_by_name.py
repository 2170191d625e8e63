"""Everything that balances, chosen on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from people_table import Polytask


@pytest.mark.parametrize(
    "changes",
    [
        ["balancer=mgda", "training.balance_rows=0.25"],
        ["balancer=modo", "training.balance_every=2"],
        ["balancer=auto_lambda", "training.balance_fraction=0.3"],
        ["balancer=moml"],
        ["balancer=dtp"],
        ["sharing=rotograd"],
    ],
)
def test_a_model_is_trained_saved_and_answers(place: Path, polytask: Polytask, changes: list[str]) -> None:
    words = [word for change in changes for word in ("--set", change)]
    result = polytask("train", "c.yaml", "--run", "r", "--no-report", *words)
    assert result.code == 0, result.err
    key, value = changes[-1].removeprefix("training.").split("=")
    config = json.loads((place / "r/run.json").read_text())["config"]
    assert str(config["training"][key] if key in config["training"] else config[key]["name"]) == value
    assert polytask("predict", "r", "people.csv", "--out", "found.csv").code == 0


def test_what_cannot_be_is_a_sentence(place: Path, polytask: Polytask) -> None:
    refused = polytask("train", "c.yaml", "--run", "r", "--set", "sharing=rotograd", "--set", "balancer=mgda")
    assert refused.code == 2
    assert "Choose a balancer that sees losses alone" in refused.err
    wrong = polytask("train", "c.yaml", "--run", "r", "--set", "training.balance_rows=2")
    assert wrong.code == 2
    assert "training.balance_rows" in wrong.err


def test_the_list_says_what_a_balancer_sees(polytask: Polytask) -> None:
    lines = " ".join(polytask("list", "balancers").out.split())
    assert "sees: bilevel; backward passes: 3, and 4 forward" in lines
    assert "sees: Gramian; backward passes: T + 1, and 1 forward" in lines
    assert "sees: as inside" in lines
