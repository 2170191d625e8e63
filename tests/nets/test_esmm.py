"""Probabilities that multiply along a funnel: against numbers worked by hand, and the laws of probability."""

from __future__ import annotations

import math

import pytest
import torch
from nets_fakes import SPEC, coin, make_inputs, make_targets, randomise_heads
from torch.nn import functional

from polytask.errors import ConfigError
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import ESMM
from polytask.nets.sharing.esmm import product_logit
from polytask.tasks.binary import Binary, BinaryTarget


def binary(name: str, rate: float, *parents: str) -> BinaryTarget:
    return BinaryTarget(Binary(name, parents=parents), (0, 1), math.log(rate / (1 - rate)))


FUNNEL = (binary("buy", 0.1, "click"), binary("click", 0.4), binary("keep", 0.06, "buy"), binary("other", 0.5))


def funnel(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    return Model(SPEC, FUNNEL, MLP(width=8, dropout=0.0), ESMM()).eval()


def test_the_product_of_two_probabilities() -> None:
    """ctr = sigma(0.3), cvr = sigma(-1.2); losses of a click without a conversion, from an independent calculation."""
    a, b = torch.tensor(0.3, dtype=torch.float64), torch.tensor(-1.2, dtype=torch.float64)
    joint = product_logit(a, b)
    assert float(joint.sigmoid()) == pytest.approx(0.13296920594634798, abs=1e-12)
    loss = functional.binary_cross_entropy_with_logits(joint, torch.zeros_like(joint))
    assert float(loss) == pytest.approx(0.14268078489272057, abs=1e-12)


@pytest.mark.parametrize("a", [-200.0, -30.0, 0.0, 30.0, 200.0])
@pytest.mark.parametrize("b", [-200.0, -30.0, 0.0, 30.0, 200.0])
def test_extreme_probabilities_keep_their_logarithm_and_a_gradient(a: float, b: float) -> None:
    x, y = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    joint = product_logit(x, y)
    expected = functional.logsigmoid(x.detach().double()) + functional.logsigmoid(y.detach().double())
    assert float(functional.logsigmoid(joint.detach().double())) == pytest.approx(float(expected), rel=1e-5, abs=1e-12)
    joint.backward()
    assert x.grad is not None
    assert y.grad is not None
    assert 0 <= float(x.grad) <= 1.001
    assert 0 <= float(y.grad) <= 1.001


def test_no_probability_exceeds_that_of_the_step_before() -> None:
    model = funnel()
    randomise_heads(model)
    answers = model.answers(model(make_inputs(500)))
    assert (answers["buy"] <= answers["click"]).all()
    assert (answers["keep"] <= answers["buy"]).all()
    alone = model.answer(make_inputs(500), ("keep", "click"))
    assert tuple(alone) == ("keep", "click")
    torch.testing.assert_close(alone["keep"], answers["keep"])


def test_every_step_starts_at_its_base_rate() -> None:
    """Heads start at zero weights; products of shares are the rates again: 0.4, 0.4 * 1/4, 0.1 * 3/5."""
    model = funnel()
    answers = model.answers(model(make_inputs(3)))
    for target, rate in zip(FUNNEL, (0.1, 0.4, 0.06, 0.5), strict=True):
        torch.testing.assert_close(answers[target.task.name].sigmoid(), torch.full((3, 1), rate))


def test_what_no_parent_can_explain_starts_finite() -> None:
    """A child more frequent than its parent contradicts the funnel."""
    model = Model(SPEC, (binary("a", 0.2), binary("b", 0.9, "a")), MLP(width=8), ESMM()).eval()
    answers = model.answers(model(make_inputs(3)))
    assert (answers["b"].sigmoid() <= 0.2).all()


def test_losses_of_children_reach_parents_and_heads_count_as_shared() -> None:
    model = funnel()
    randomise_heads(model)
    targets = make_targets(50, FUNNEL, missing=0)
    targets.values[:, 1:] = torch.nan
    losses = model.losses(model(make_inputs(50)), targets)
    assert losses.names == ("buy",)
    losses.values.sum().backward()
    weight = next(p for name, p in model.named_parameters() if name.endswith("0.weight") and name.startswith("heads"))
    assert weight.grad is not None
    reached = weight.grad.flatten(1).abs().sum(1) > 0
    assert reached.tolist() == [True, True, False, False]  # buy and click, not keep, not other
    assert any(weight is p for p in model.shared_parameters())
    assert model.task_parameters("click") == []


def test_without_parents_tasks_are_separate() -> None:
    model = Model(SPEC, [coin("a"), coin("b")], MLP(width=8), ESMM())
    assert not model.sharing.is_linked
    assert len(model.task_parameters("a")) > 2


def test_a_funnel_has_one_parent_and_binary_steps() -> None:
    with pytest.raises(ConfigError, match="one parent at most"):
        ESMM().build(MLP(), SPEC, (binary("a", 0.5), binary("b", 0.4), binary("c", 0.1, "a", "b")))
    with pytest.raises(ConfigError, match="expected a binary task"):
        ESMM().build(MLP(), SPEC, (coin("a"), binary("c", 0.1, "a")))
