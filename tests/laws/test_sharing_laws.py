"""Every way of sharing of the catalogue, over every encoder, against what all ways of sharing promise."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
import torch
from nets_fakes import TARGETS, encoder_named, make_inputs, make_targets, randomise_heads, spec_for
from safetensors.torch import load, save
from torch import Tensor

from polytask.balancing.balancer import Balancer
from polytask.batch import Inputs, InputSpec, Targets
from polytask.errors import RunError
from polytask.nets.encoders import ENCODERS, Encoder
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING, Sharing
from polytask.tasks.binary import Binary, BinaryTarget
from polytask.tasks.task import Target
from polytask.training.learner import Learner
from polytask.training.learner import load as load_learner

ROWS = 12


def child_of(target: Target, *parents: str) -> Target:
    """The target of the same task, which builds on others."""
    return replace(target, task=replace(target.task, parents=parents))


SMALL = {
    "mlp": {"width": 8},
    "resnet": {"width": 8},
    "ft_transformer": {"width": 8, "heads": 2, "depth": 2},
    "conv": {"width": 8, "depth": 2},
    "gru": {"width": 8},
    "transformer": {"width": 8, "heads": 2},
    "words": {"width": 8, "word_width": 6, "character_width": 4},
}
"""Sizes at which a law is checked quickly; an encoder that is not here is checked at its own."""

OPTIONS: dict[str, dict[str, object]] = {}
"""Way of sharing -> options that it cannot be checked without."""

FAMILY = (child_of(TARGETS[0], "d"), *TARGETS[1:])
COINS = tuple(BinaryTarget(Binary(t.task.name, weight=t.task.weight), (0, 1), -0.2) for t in TARGETS)
FUNNEL = (child_of(COINS[0], "d"), *COINS[1:])
TASKS: dict[str, tuple[Target, ...]] = {"hierarchical": FAMILY, "aitm": FAMILY, "esmm": FUNNEL}
"""Way of sharing -> tasks, where not any will do."""

EXCEPTIONS: dict[tuple[str, str], str] = {("reach", "esmm"): "along a funnel nothing is private; see test_esmm"}
"""(law, way of sharing) -> why it is not held to it."""

PAIRS = [(way, encoder) for way in SHARING for encoder in ENCODERS]
KINDS = ("mlp", "conv", "gru")
"""One encoder of vectors, maps and sequences."""


def encoder_of(name: str) -> Encoder:
    return encoder_named(name, **SMALL.get(name, {}))


def way_of(name: str) -> Sharing:
    return SHARING.build({"name": name, **OPTIONS.get(name, {})})


def tasks_of(way: str) -> tuple[Target, ...]:
    return TASKS.get(way, TARGETS)


def spec_of(encoder: str) -> InputSpec:
    return spec_for(encoder_of(encoder))


def build(way: str, encoder: str, targets: Sequence[Target] | None = None, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    model = Model(spec_of(encoder), targets or tasks_of(way), encoder_of(encoder), way_of(way))
    randomise_heads(model)
    return model


@cache
def built(way: str, encoder: str) -> Model:
    """In evaluation; nobody changes it."""
    return build(way, encoder).eval()


def excused(law: str, way: str) -> None:
    if (law, way) in EXCEPTIONS:
        pytest.skip(EXCEPTIONS[law, way])


def owners(model: Model) -> dict[str, Tensor]:
    """For every number of every parameter: 0 where it is shared, i + 1 where it is private to task i."""
    kept = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(-1)
        for p in model.shared_parameters():
            p.fill_(0)
        for i, task in enumerate(model.tasks):
            for part in model.task_parameters(task):
                part.fill_(i + 1)
        found = {name: p.detach().clone() for name, p in model.named_parameters()}
        for name, p in model.named_parameters():
            p.copy_(kept[name])
    return found


def total(model: Model, inputs: Inputs, targets: Targets) -> Tensor:
    """Losses and penalty, as training adds them up."""
    outputs = model(inputs)
    losses = model.losses(outputs, targets).values.sum()
    penalty = model.penalty(outputs, targets)
    return losses if penalty is None else losses + penalty


@pytest.mark.parametrize(("way", "encoder"), PAIRS)
def test_there_is_one_output_per_task(way: str, encoder: str) -> None:
    model = built(way, encoder)
    answers = model.answers(model(make_inputs(ROWS, spec_of(encoder))))
    assert {name: tuple(values.shape) for name, values in answers.items()} == {
        target.task.name: (ROWS, target.outputs) for target in tasks_of(way)
    }
    assert all(values.isfinite().all() for values in answers.values())


@pytest.mark.parametrize(("way", "encoder"), PAIRS)
def test_every_parameter_is_on_exactly_one_side(way: str, encoder: str) -> None:
    model = build(way, encoder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for part in model.shared_parameters():
            part.add_(1)
        for task in model.tasks:
            for part in model.task_parameters(task):
                part.add_(1)
    wrong = {name: sorted(set(p.flatten().tolist())) for name, p in model.named_parameters() if not (p == 1).all()}
    assert not wrong, f"how many sides claim a number of these parameters: {wrong}"


@pytest.mark.parametrize(("way", "encoder"), PAIRS)
def test_a_task_reaches_its_own_and_the_shared_parameters_alone(way: str, encoder: str) -> None:
    excused("reach", way)
    model = build(way, encoder).train()
    owner = owners(model)
    targets = make_targets(ROWS, tasks_of(way), missing=0)
    for i, task in enumerate(model.tasks):
        absent = torch.full_like(targets.values, torch.nan)
        absent[:, targets.layout[task]] = targets[task]
        model.zero_grad()
        losses = model.losses(model(make_inputs(ROWS, spec_of(encoder))), Targets(absent, targets.layout))
        assert losses.names == (task,)
        losses.values.sum().backward()
        reached = 0.0
        for name, parameter in model.named_parameters():
            if parameter.grad is None:
                continue
            assert parameter.grad.isfinite().all(), name
            others = (owner[name] > 0) & (owner[name] != i + 1)
            assert not parameter.grad[others].any(), f"{task} reaches private weights of another task in {name}"
            reached += float(parameter.grad[owner[name] == i + 1].abs().sum())
        assert reached > 0


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_private_parameters_change_their_task_alone(way: str, encoder: str) -> None:
    excused("reach", way)
    model = copy.deepcopy(built(way, encoder))
    inputs = make_inputs(ROWS, spec_of(encoder))
    with torch.no_grad():
        before = model.answers(model(inputs))
        task = model.tasks[-1]
        for parameter in model.task_parameters(task):
            parameter.add_(0.5)
        after = model.answers(model(inputs))
    for name in model.tasks:
        if name == task:
            assert not torch.allclose(before[name], after[name])
        else:
            torch.testing.assert_close(before[name], after[name])


@pytest.mark.parametrize(("way", "encoder"), PAIRS)
def test_some_tasks_are_a_slice_of_all(way: str, encoder: str) -> None:
    excused("slice", way)
    model = built(way, encoder)
    inputs = make_inputs(ROWS, spec_of(encoder))
    joint = model.answers(model(inputs))
    for some in (*((task,) for task in model.tasks), tuple(reversed(model.tasks))[:2]):
        found = model.answer(inputs, some)
        assert tuple(found) == some
        for name, values in found.items():
            torch.testing.assert_close(values, joint[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_weights_go_round(way: str, encoder: str) -> None:
    model = built(way, encoder)
    inputs = make_inputs(ROWS, spec_of(encoder))
    expected = model(inputs).groups
    by_task, whole, twin = build(way, encoder, seed=1), build(way, encoder, seed=1), copy.deepcopy(model)
    by_task.load_task_state(load(save(model.task_state())))
    whole.load_state_dict(load(save({k: v.contiguous() for k, v in model.state_dict().items()})))
    for other in (by_task, whole, twin):
        for a, b in zip(other.eval()(inputs).groups, expected, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_a_task_can_be_removed_and_added(way: str, encoder: str) -> None:
    excused("fewer tasks", way)
    model, inputs = built(way, encoder), make_inputs(ROWS, spec_of(encoder))
    kept = [target for target in tasks_of(way) if target.task.name != model.tasks[-1]]
    smaller = build(way, encoder, kept, seed=1).eval()
    names = smaller.tasks
    if SHARING.find(way).coupled:
        with pytest.raises(RunError):
            smaller.load_task_state(model.task_state(names))
        total(smaller.train(), inputs, make_targets(ROWS, kept)).backward()
        return
    smaller.load_task_state(model.task_state(names))
    larger = build(way, encoder, seed=2).eval()
    larger.load_task_state(smaller.task_state(), names)
    joint = model.answers(model(inputs))
    for other in (smaller, larger):
        answers = other.answers(other(inputs))
        for name in names:
            torch.testing.assert_close(answers[name], joint[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("way", "encoder"), PAIRS)
def test_a_step_of_any_labels_is_finite(way: str, encoder: str) -> None:
    model = build(way, encoder).train()
    targets = make_targets(ROWS, tasks_of(way), missing=0.5)
    for progress in (0.0, 0.5, 0.99):
        model.sharing.advance(progress)
        model.zero_grad()
        total(model, make_inputs(ROWS, spec_of(encoder)), targets).backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients.values())
    targets.values[:] = torch.nan
    outputs = model(make_inputs(ROWS, spec_of(encoder)))
    assert len(model.losses(outputs, targets)) == 0
    penalty = model.penalty(outputs, targets)
    assert penalty is None or (penalty.ndim == 0 and penalty.isfinite())
    for name, value in model.sharing.diagnostics(outputs.representation).items():
        assert value.ndim == 0, name
        assert value.isfinite(), name
        assert not value.requires_grad, name


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_one_row_and_no_row(way: str, encoder: str) -> None:
    model, spec = build(way, encoder).train(), spec_of(encoder)
    total(model, make_inputs(1, spec), make_targets(1, tasks_of(way), missing=0)).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    outputs = model.eval()(make_inputs(0, spec))
    assert {len(values) for values in model.answers(outputs).values()} == {0}


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_rows_do_not_see_each_other_in_evaluation(way: str, encoder: str) -> None:
    model = built(way, encoder)
    inputs = make_inputs(ROWS, spec_of(encoder))
    first = Inputs(*(None if part is None else part[:1] for part in vars(inputs).values()))
    for one, all_rows in zip(model(first).groups, model(inputs).groups, strict=True):
        torch.testing.assert_close(one, all_rows[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_it_trains_in_16_bits(way: str, encoder: str) -> None:
    model, inputs = build(way, encoder).train(), make_inputs(ROWS, spec_of(encoder))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(inputs)
    targets = make_targets(ROWS, tasks_of(way), missing=0)
    losses = model.losses(outputs, targets).values.sum()
    penalty = model.penalty(outputs, targets)
    (losses if penalty is None else losses + penalty).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_the_seed_decides(way: str, encoder: str) -> None:
    one, same, other = (dict(build(way, encoder, seed=seed).named_parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(p, same[name]) for name, p in one.items())
    assert any(not torch.equal(p, other[name]) for name, p in one.items())


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("way", list(SHARING))
def test_one_task_is_enough(way: str, encoder: str) -> None:
    excused("one task", way)
    target = tasks_of(way)[0]
    model = build(way, encoder, [target]).train()
    total(model, make_inputs(ROWS, spec_of(encoder)), make_targets(ROWS, [target])).backward()
    assert any(p.grad is not None and p.grad.any() for p in model.sharing.parameters())


@pytest.mark.parametrize("balancer", ["uncertainty", "mgda", "graddrop"])
@pytest.mark.parametrize("way", list(SHARING))
def test_balancers_of_every_evidence_take_its_sides(way: str, balancer: str) -> None:
    model = build(way, "mlp").train()
    outputs = model(make_inputs(ROWS, spec_of("mlp")))
    losses = model.losses(outputs, make_targets(ROWS, tasks_of(way), missing=0))
    shared = [p for p in model.shared_parameters() if p.requires_grad]
    if not shared and balancer != "uncertainty":
        pytest.skip("nothing is shared: there is nothing to balance gradients on")
    step = Balancer(balancer).backward(losses, shared)
    assert set(step.names) == set(model.tasks)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("encoder", ["conv", "gru"])
@pytest.mark.parametrize("way", list(SHARING))
def test_it_learns_from_maps_and_sequences(way: str, encoder: str) -> None:
    excused("learns", way)
    spec, targets = spec_of(encoder), tasks_of(way)
    inputs = make_inputs(32, spec)
    read = inputs.values[:, 0].float() if encoder == "gru" else inputs.values.mean((1, 2, 3))
    signal = (read - read.mean()) / read.std()
    labels = make_targets(32, targets, missing=0)
    for target in targets:
        own = labels.values[:, labels.layout[target.task.name]]
        own[:] = (signal[:, None] > 0).float() if target.width == 1 else signal[:, None].expand_as(own)
    model = build(way, encoder).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for step in range(25):
        model.sharing.advance(step / 25)
        optimizer.zero_grad()
        outputs = model(inputs)
        own = model.losses(outputs, labels).values.sum()
        penalty = model.penalty(outputs, labels)
        (own if penalty is None else own + penalty).backward()
        optimizer.step()
        losses.append(own.item())
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def table(rows: int = 400) -> pl.DataFrame:
    """Two tasks that share a direction; a fifth of the labels is missing."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, 4))
    labels = {"yes": (x[:, 0] + x[:, 1] > 0).astype(float), "up": x[:, 0] + x[:, 1] + 0.1 * generator.normal(size=rows)}
    for values in labels.values():
        values[generator.random(rows) < 0.2] = np.nan
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(4)} | labels)
    return frame.with_columns(pl.col("yes", "up").fill_nan(None))


@pytest.mark.parametrize("way", list(SHARING))
def test_it_trains_saves_and_loads_through_a_learner(way: str, tmp_path) -> None:
    excused("learner", way)
    frame = table()
    learner = Learner(
        [{"kind": "binary", "name": "yes"}, {"kind": "regression", "name": "up"}],
        encoder={"name": "mlp", "width": 16},
        sharing={"name": way, **OPTIONS.get(way, {})},
        training={"epochs": 12, "batch_size": 32, "lr": 0.01, "patience": 0},
    )
    learner.fit(frame[:300], frame[300:])
    assert learner.history[-1].gain > 0.3, "far better than the constant predictor"
    learner.save(tmp_path / "model")
    again = load_learner(tmp_path / "model")
    assert again.config == learner.config
    np.testing.assert_allclose(learner.predict(frame)["up"], again.predict(frame)["up"], rtol=1e-4, atol=1e-5)


def test_the_tables_of_exceptions_name_what_there_is() -> None:
    assert set(SMALL) <= set(ENCODERS)
    assert {*OPTIONS, *TASKS, *(way for _, way in EXCEPTIONS)} <= set(SHARING)
