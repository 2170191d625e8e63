"""What every encoder promises under every way of sharing."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from nets_fakes import TARGETS, Separate, encoder_named, make_inputs, make_targets, randomise_heads, spec_for
from safetensors.torch import load, save

from polytask.batch import Inputs, InputSpec, Targets
from polytask.errors import DataError
from polytask.nets import encoders, sharing
from polytask.nets.encoders import ENCODERS, Encoder
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING, Hard, Sharing

NAMES = tuple(target.task.name for target in TARGETS)
ROWS = 12
WAYS: dict[str, type[Sharing]] = {"hard": Hard, "separate (of the tests)": Separate}
"""The two ends; the laws of all others are in tests/laws."""


@pytest.fixture(params=list(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return encoder_named(request.param)


@pytest.fixture
def kind(encoder: Encoder) -> InputSpec:
    return spec_for(encoder)


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> Sharing:
    return WAYS[request.param]()


@pytest.fixture
def model(encoder: Encoder, way: Sharing, kind: InputSpec) -> Model:
    torch.manual_seed(0)
    model = Model(kind, TARGETS, encoder, way).eval()
    randomise_heads(model)
    return model


def gradients(model: Model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_one_output_per_task(model: Model, kind: InputSpec) -> None:
    answers = model.answers(model(make_inputs(ROWS, kind)))
    assert {name: tuple(values.shape) for name, values in answers.items()} == {
        target.task.name: (ROWS, target.outputs) for target in TARGETS
    }
    assert tuple(answers) == NAMES


def test_every_parameter_is_on_exactly_one_side(model: Model) -> None:
    places = [p.data_ptr() + 4 * i for p in model.shared_parameters() for i in range(p.numel())]
    for name in NAMES:
        places += [p.data_ptr() + 4 * i for p in model.task_parameters(name) for i in range(p.numel())]
    everything = {p.data_ptr() + 4 * i for p in model.parameters() for i in range(p.numel())}
    assert len(places) == len(set(places))
    assert set(places) == everything


@pytest.mark.parametrize("task", NAMES)
def test_private_parameters_serve_their_task_alone(model: Model, task: str, kind: InputSpec) -> None:
    inputs = make_inputs(ROWS, kind)
    before = model.answers(model(inputs))
    with torch.no_grad():
        for parameter in model.task_parameters(task):
            parameter.add_(0.5)
        after = model.answers(model(inputs))
    for name in NAMES:
        assert torch.equal(before[name], after[name]) == (name != task)


def test_a_task_of_the_joint_model_is_the_task_alone(
    model: Model, encoder: Encoder, way: Sharing, kind: InputSpec
) -> None:
    inputs = make_inputs(ROWS, kind)
    joint = model.answers(model(inputs))
    for target in TARGETS:
        name = target.task.name
        alone = Model(kind, [target], encoder, way).eval()
        alone.load_task_state(model.task_state(), [name])
        torch.testing.assert_close(alone.answers(alone(inputs))[name], joint[name], rtol=1e-4, atol=1e-5)


def test_weights_go_round_through_safetensors(model: Model, encoder: Encoder, way: Sharing, kind: InputSpec) -> None:
    state = load(save(model.task_state()))
    other = Model(kind, TARGETS, encoder, way).eval()
    other.load_task_state(state)
    inputs = make_inputs(ROWS, kind)
    for a, b in zip(model(inputs).groups, other(inputs).groups, strict=True):
        assert torch.equal(a, b)


def test_a_task_can_be_dropped(model: Model, encoder: Encoder, way: Sharing, kind: InputSpec) -> None:
    kept = [target for target in TARGETS if target.task.name != "c"]
    smaller = Model(kind, kept, encoder, way).eval()
    smaller.load_task_state(model.task_state(smaller.tasks))
    inputs = make_inputs(ROWS, kind)
    joint, rest = model.answers(model(inputs)), smaller.answers(smaller(inputs))
    assert tuple(rest) == ("a", "b.x", "d")
    for name, values in rest.items():
        torch.testing.assert_close(values, joint[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("poison", ["infinite outputs", "infinite labels"])
def test_nothing_of_a_skipped_task_reaches_a_gradient(model: Model, poison: str, kind: InputSpec) -> None:
    targets = make_targets(ROWS)
    absent = targets.values.clone()
    absent[:, targets.layout["c"]] = torch.nan
    inputs = make_inputs(ROWS, kind)
    if poison == "infinite outputs":
        with torch.no_grad():
            weight, bias = model.task_parameters("c")[-2:]
            weight.fill_(3e38)
            bias.fill_(3e38)
        assert not model.answers(model(inputs))["c"].isfinite().all()
    else:
        targets.values[:, targets.layout["c"]] = torch.inf
        assert not model.losses(model(inputs), targets).values[2].isfinite()

    expected = model.losses(model(inputs), Targets(absent, targets.layout))
    expected.values.sum().backward()
    right = gradients(model)
    model.zero_grad()
    losses = model.losses(model(inputs), targets, skip={"c"})
    losses.values.sum().backward()
    assert losses.names == expected.names == ("a", "b.x", "d")
    sums, counts = model.loss_sums(model(inputs), targets, skip={"c"})
    assert (float(sums[2].detach()), float(counts[2])) == (0.0, 0.0)
    assert torch.equal(losses.values, expected.values)
    for name, gradient in gradients(model).items():
        assert gradient.isfinite().all(), name
        assert torch.equal(gradient, right[name]), name


def test_tasks_without_labels_are_absent(model: Model, kind: InputSpec) -> None:
    targets = make_targets(ROWS)
    whole = model.losses(model(make_inputs(ROWS, kind)), targets)
    assert whole.names == NAMES
    targets.values[:, targets.layout["a"]] = torch.nan
    targets.values[:, targets.layout["d"]] = torch.nan
    part = model.losses(model(make_inputs(ROWS, kind)), targets)
    assert part.names == ("b.x", "c")
    assert torch.equal(part.values, whole.values[[1, 2]])
    assert torch.equal(part.counts, whole.counts[[1, 2]])
    targets.values[:] = torch.nan
    assert len(model.losses(model(make_inputs(ROWS, kind)), targets)) == 0


def test_one_row_can_be_trained_on(model: Model, kind: InputSpec) -> None:
    model.train()
    losses = model.losses(model(make_inputs(1, kind)), make_targets(1, missing=0))
    losses.values.sum().backward()
    assert losses.values.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in gradients(model).values())


def test_no_row_has_no_loss(model: Model, kind: InputSpec) -> None:
    outputs = model(make_inputs(0, kind))
    assert {tuple(v.shape) for v in model.answers(outputs).values()} == {(0, 1), (0, 2)}
    assert len(model.losses(outputs, make_targets(0))) == 0


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(numeric=3),
        InputSpec(numeric=0, cardinalities=(4,)),
        InputSpec(numeric=1, cardinalities=(1,)),
        InputSpec(numeric=2, edges=((0.0, 1.0), ())),
        InputSpec(numeric=0, cardinalities=(2, 1000, 5)),
    ],
    ids=str,
)
def test_tables_of_any_columns(encoder: Encoder, way: Sharing, spec: InputSpec) -> None:
    if encoder.reads != "columns":
        pytest.skip("reads no columns")
    torch.manual_seed(0)
    model = Model(spec, TARGETS, encoder, way)
    randomise_heads(model)
    model.losses(model(make_inputs(ROWS, spec)), make_targets(ROWS)).values.sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert not missing


def test_a_table_without_columns_is_refused(encoder: Encoder, way: Sharing) -> None:
    message = "no feature column" if encoder.reads == "columns" else "found columns of a table"
    with pytest.raises(DataError, match=message):
        Model(InputSpec(numeric=0), TARGETS, encoder, way)


def test_the_seed_decides(encoder: Encoder, way: Sharing, kind: InputSpec) -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return list(Model(kind, TARGETS, encoder, way).parameters())

    assert all(torch.equal(a, b) for a, b in zip(weights(0), weights(0), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(0), weights(1), strict=True))


def test_first_loss_is_the_reference_loss_in_its_units(encoder: Encoder, way: Sharing, kind: InputSpec) -> None:
    targets = make_targets(50)
    references = {t.task.name: t.reference_loss(targets[t.task.name]) for t in TARGETS}
    model = Model(kind, TARGETS, encoder, way, loss_units=references)
    losses = model.losses(model(make_inputs(50, kind)), targets)
    weights = torch.tensor([target.task.weight for target in TARGETS])
    torch.testing.assert_close(losses.values.detach(), weights, rtol=1e-5, atol=0)


def test_the_first_step_reaches_the_heads_and_the_second_the_trunk(encoder: Encoder, kind: InputSpec) -> None:
    torch.manual_seed(0)
    model = Model(kind, TARGETS, encoder, SHARING.build("hard"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    moved = []
    for _ in range(2):
        before = [p.detach().clone() for p in model.shared_parameters()]
        optimizer.zero_grad()
        model.losses(model(make_inputs(ROWS, kind)), make_targets(ROWS)).values.sum().backward()
        optimizer.step()
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, model.shared_parameters(), strict=True)))
    assert moved == [False, True]


def test_blocks_keep_one_shape_and_may_be_pooled_anywhere(encoder: Encoder, kind: InputSpec) -> None:
    stages = encoder.build(kind).eval()
    features = stages.stem(make_inputs(ROWS, kind))
    assert features.values.shape[1 if encoder.reads == "maps" else -1] == stages.channels
    shapes = set()
    for block in stages.blocks:
        features = block(features)
        shapes.add(features.values.shape)
        rows = features.mask.numel() if encoder.reads == "text" else 0  # tokens are rows too
        assert stages.pool(features).shape == (ROWS + rows, stages.width)
    assert len(shapes) == 1
    assert torch.equal(stages.pool(features), stages(make_inputs(ROWS, kind)))


def test_rows_do_not_see_each_other_in_evaluation(encoder: Encoder, kind: InputSpec) -> None:
    stages = encoder.build(kind).eval()
    inputs = make_inputs(ROWS, kind)
    first = Inputs(*(part[:1] if isinstance(part, torch.Tensor) else part for part in vars(inputs).values()))
    torch.testing.assert_close(stages(inputs)[:1], stages(first)[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("package", "base", "catalogue"), [(encoders, Encoder, ENCODERS), (sharing, Sharing, SHARING)])
def test_folder_and_catalogue_agree(package: object, base: type, catalogue: object) -> None:
    folder = Path(inspect.getfile(package)).parent  # type: ignore[arg-type]
    found = set()
    for file in folder.glob("*.py"):
        module = __import__(f"{package.__name__}.{file.stem}", fromlist=["_"]) if file.stem != "__init__" else package
        found |= {c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, base) and c is not base}
    listed = {variant for _, variant in catalogue.items()}
    assert found == listed, f"add to the catalogue in {package.__name__}: {found - listed}"


@pytest.mark.parametrize("catalogue", [ENCODERS, SHARING])
def test_configurations_go_round(catalogue: object) -> None:
    for name, variant in catalogue.items():
        assert catalogue.build(catalogue.config(variant())) == variant()
        assert all(f":param {field}:" in inspect.getdoc(variant) for field, *_ in _fields(catalogue, name))


def _fields(catalogue: object, name: str) -> tuple[tuple[str, str, str], ...]:
    return next(row.fields for row in catalogue.rows() if row.name == name)
