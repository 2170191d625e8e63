"""Stacked heads against separate ones, losses against formulas worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from nets_fakes import SPEC, TARGETS, Separate, coin, layout, make_inputs, make_targets, randomise_heads, square
from torch.nn import functional

from polytask.batch import Targets
from polytask.errors import TaskError
from polytask.nets.encoders import MLP
from polytask.nets.heads import HeadGroup
from polytask.nets.model import Model
from polytask.nets.sharing import Hard, Representation


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    model = Model(SPEC, TARGETS, MLP(width=8), Hard(), loss_units={"a": 0.5, "b.x": 2.0, "c": 1.0, "d": 4.0}).eval()
    randomise_heads(model)
    return model


def test_tasks_of_equal_signature_are_stacked(model: Model) -> None:
    assert [group.names for group in model.groups] == [("a", "c"), ("b.x", "d")]
    assert [tuple(group.weight.shape) for group in model.groups] == [(2, 1, 8), (2, 2, 8)]
    assert torch.equal(model.groups[1].constants()["factor"], torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("common", [True, False])
def test_stacked_heads_are_separate_heads(common: bool) -> None:
    group = HeadGroup([square("a", 1.0, 2.0), square("b", 3.0, 4.0)], [0, 2], width=5)
    assert group.bias.tolist() == [[1, 2], [3, 4]]
    assert not group.weight.any()
    with torch.no_grad():
        group.weight.copy_(torch.randn(2, 2, 5))
    values = torch.randn(7, 5) if common else torch.randn(7, 3, 5)
    got = group(Representation(values))
    for i, position in enumerate((0, 2)):
        own = values if common else values[:, position]
        torch.testing.assert_close(got[:, i], functional.linear(own, group.weight[i], group.bias[i]))


def test_gradients_are_those_of_separate_linear_layers(model: Model) -> None:
    inputs, targets = make_inputs(20), make_targets(20)
    model.losses(model(inputs), targets).values.sum().backward()
    features = model.sharing(inputs).values.detach()
    head = torch.nn.Linear(8, 1)
    with torch.no_grad():
        head.weight.copy_(model.groups[0].weight[1])
        head.bias.copy_(model.groups[0].bias[1])
    rows = ~targets["c"][:, 0].isnan()
    logits = head(features[rows])[:, 0]
    loss = 3.0 * functional.binary_cross_entropy_with_logits(logits, targets["c"][rows, 0])
    loss.backward()
    torch.testing.assert_close(model.groups[0].weight.grad[1], head.weight.grad)
    torch.testing.assert_close(model.groups[0].bias.grad[1], head.bias.grad)


def test_losses_by_hand() -> None:
    targets = (coin("yes"), square("size", 1.0, factor=2.0), coin("no", start=math.log(3)))
    model = Model(SPEC, targets, MLP(width=4), Hard(), loss_units={"yes": 0.5, "size": 4.0, "no": 1.0})
    nan = math.nan
    labels = torch.tensor([[1.0, 4.0, nan], [0.0, nan, 1.0], [nan, 2.0, nan]])
    losses = model.losses(model(make_inputs(3)), Targets(labels, layout(targets)))
    assert losses.names == ("yes", "size", "no")
    assert losses.counts.tolist() == [2, 2, 1]
    # log 2 / 0.5;  2 (3² + 1²) / 2 rows / 4;  -log(3 / 4)
    expected = [math.log(2) / 0.5, 2 * (9 + 1) / 2 / 4, -math.log(0.75)]
    torch.testing.assert_close(losses.values.detach(), torch.tensor(expected))


def test_a_row_with_one_label_of_two_counts(model: Model) -> None:
    values = torch.full((2, 6), torch.nan)
    values[0, 1] = 1.0  # the first column of b.x, in one row
    losses = model.losses(model(make_inputs(2)), Targets(values, layout(TARGETS)))
    assert losses.names == ("b.x",)
    assert losses.counts.tolist() == [1]
    output = model.answers(model(make_inputs(2)))["b.x"][0, 0]
    torch.testing.assert_close(losses.values[0], (output - 1) ** 2 / 2.0)


def test_sums_of_parts_give_the_whole(model: Model) -> None:
    targets, inputs = make_targets(30), make_inputs(30)
    whole = model.losses(model(inputs), targets)
    sums, counts = torch.zeros(4), torch.zeros(4)
    for rows in (slice(0, 3), slice(3, 30)):
        part = type(inputs)(inputs.numeric[rows], inputs.categorical[rows])
        s, c = model.loss_sums(model(part), Targets(targets.values[rows], targets.layout))
        sums, counts = sums + s, counts + c
    torch.testing.assert_close(sums / counts, whole.values)
    assert torch.equal(counts, whole.counts)


def test_infinite_outputs_of_unlabelled_rows_are_not_heard() -> None:
    model = Model(SPEC, [square("x", 0.0), square("y", 0.0)], MLP(width=4), Separate())
    randomise_heads(model)
    outputs = model(make_inputs(3))
    blown = torch.tensor([1.0, torch.inf, torch.nan])[:, None, None] * outputs.groups[0]
    targets = Targets(
        torch.tensor([[1.0, 1.0], [torch.nan] * 2, [torch.nan] * 2]), {"x": slice(0, 1), "y": slice(1, 2)}
    )
    losses = model.losses(outputs._replace(groups=(blown,)), targets)
    (gradient,) = torch.autograd.grad(losses.values.sum(), blown)
    assert losses.values.isfinite().all()
    assert gradient[0].all()
    assert not gradient[1:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_16_bit_outputs_are_computed_in_32(model: Model, dtype: torch.dtype) -> None:
    outputs = model(make_inputs(400))
    narrow = outputs._replace(groups=tuple(values.to(dtype) for values in outputs.groups))
    targets = make_targets(400)
    got = model.losses(narrow, targets)
    exact = model.losses(outputs._replace(groups=tuple(values.float() for values in narrow.groups)), targets)
    assert got.values.dtype == got.counts.dtype == torch.float32
    assert torch.equal(got.values, exact.values)


def test_heads_stay_in_32_bits_under_autocast(model: Model) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.sharing(make_inputs(3)).values.dtype == torch.bfloat16
        outputs = model(make_inputs(3))
        losses = model.losses(outputs, make_targets(3, missing=0))
    assert {values.dtype for values in outputs.groups} == {torch.float32}
    assert losses.values.dtype == torch.float32
    losses.values.sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in model.parameters())


def test_double_precision_stays_double(model: Model) -> None:
    model.double()
    inputs = make_inputs(4)
    losses = model.losses(model(type(inputs)(inputs.numeric.double(), inputs.categorical)), make_targets(4, missing=0))
    assert losses.values.dtype == torch.float64


@pytest.mark.parametrize("unit", [0.0, -1.0, math.nan, math.inf])
def test_loss_units_are_positive(unit: float) -> None:
    with pytest.raises(TaskError, match=r"task 'a'.*positive loss unit"):
        Model(SPEC, [coin("a")], MLP(), Hard(), loss_units={"a": unit})


def test_every_task_needs_a_loss_unit() -> None:
    with pytest.raises(TaskError, match="'b'"):
        Model(SPEC, [coin("a"), coin("b")], MLP(), Hard(), loss_units={"a": 1.0})
