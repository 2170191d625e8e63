"""The calibrator of AITM: against numbers worked by hand, and what it does to answers."""

from __future__ import annotations

import math

import polars as pl
import pytest
import torch
from nets_fakes import SPEC, make_inputs, make_targets, randomise_heads

from polytask.errors import ConfigError
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import AITM
from polytask.tasks.binary import Binary, BinaryTarget
from polytask.tasks.regression import Regression
from polytask.tasks.task import Target


def coin(name: str, *parents: str) -> BinaryTarget:
    return BinaryTarget(Binary(name, parents=parents), (0, 1), 0.0)


CHAIN = (coin("keep", "buy"), coin("click"), coin("buy", "click"))


def chain(options: AITM, targets: tuple[Target, ...] = CHAIN) -> Model:
    torch.manual_seed(0)
    model = Model(SPEC, targets, MLP(width=8, dropout=0.0), options)
    randomise_heads(model)
    return model


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_calibrator_by_hand() -> None:
    """Row 1: (0.75 - 0.5) + 0; row 2: 0 + (0.9 - 0.5); half the sum, times 0.6."""
    rows = {"click": (0.5, 0.8), "buy": (0.75, 0.5), "keep": (0.5, 0.9)}
    answers = {name: torch.tensor([[logit(p)] for p in values]) for name, values in rows.items()}
    asked = chain(AITM()).sharing.answer_penalty(answers)
    assert asked is not None
    assert asked.item() == pytest.approx(0.195, abs=1e-6)
    asked = chain(AITM(calibrator=2.0)).sharing.answer_penalty(answers)
    assert asked is not None
    assert asked.item() == pytest.approx(0.65, abs=1e-6)


def test_answers_in_order_cost_nothing() -> None:
    answers = {"click": torch.tensor([[2.0]]), "buy": torch.tensor([[1.0]]), "keep": torch.tensor([[1.0]])}
    asked = chain(AITM()).sharing.answer_penalty(answers)
    assert asked is not None
    assert asked.item() == 0


def test_it_puts_probabilities_in_order() -> None:
    """Training on the calibrator alone, which is all that labels for nobody leave."""
    model, inputs = chain(AITM()), make_inputs(64)
    targets = make_targets(64, CHAIN, missing=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    asked = []
    for _ in range(150):
        optimizer.zero_grad()
        penalty = model.penalty(model(inputs), targets)
        assert penalty is not None
        torch.autograd.backward(penalty)
        optimizer.step()
        asked.append(penalty.item())
    assert asked[-1] < 0.05 * asked[0]
    keep, click, buy = model(inputs).groups[0].sigmoid().unbind(1)
    assert (keep < buy + 0.05).all()
    assert (buy < click + 0.05).all()


@pytest.mark.parametrize(
    ("options", "targets"),
    [
        (AITM(calibrator=0.0), CHAIN),
        (AITM(), (coin("click"), coin("buy"))),
        (AITM(), (Regression("dwell").fit(pl.DataFrame({"dwell": [0.0, 1.0]})), coin("buy", "dwell"))),
    ],
    ids=["weight 0", "no parents", "a parent without a probability"],
)
def test_it_is_silent_where_there_is_nothing_to_ask(options: AITM, targets: tuple[Target, ...]) -> None:
    model = chain(options, targets)
    assert model.penalty(model(make_inputs(4)), make_targets(4, targets)) is None


def test_no_row_is_no_penalty() -> None:
    model = chain(AITM())
    penalty = model.penalty(model(make_inputs(0)), make_targets(0, CHAIN))
    assert penalty is not None
    assert penalty.item() == 0


def test_a_negative_weight_is_an_error() -> None:
    with pytest.raises(ConfigError):
        AITM(calibrator=-1.0)
