"""What every kind of task must do, whatever it predicts."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.optimize import minimize
from task_cases import CASES, N, perfect_answer

from polytask import tasks
from polytask.tasks import TASKS, Task, labelled

every_case = pytest.mark.parametrize("case", CASES, ids=str)


def noise(*shape, scale=1.0, seed=0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def constants(*targets):
    return {name: torch.stack([t.constants()[name] for t in targets]) for name in targets[0].constants()}


def losses(target, outputs, encoded):
    return target.task.row_losses(outputs[:, None], encoded[:, None], constants(target))[:, 0]


def test_the_catalogue_lists_every_file_and_every_kind_has_cases():
    folder = Path(tasks.__file__).parent
    defined = {p.stem for p in folder.glob("*.py") if "(Task):" in p.read_text() and p.stem != "task"}
    assert defined == set(TASKS), "list the new kind of task in polytask/tasks/__init__.py"
    assert {TASKS.name_of(case.task) for case in CASES} == set(TASKS), "add cases to tests/tasks/task_cases.py"


@pytest.mark.parametrize("name", list(TASKS))
def test_every_kind_says_what_it_is(name):
    row = next(row for row in TASKS.rows() if row.name == name)
    assert row.summary.endswith(".") or len(row.summary) > 40
    assert dataclasses.is_dataclass(TASKS.find(name))


@every_case
def test_configuration_round_trip(case):
    config = json.loads(json.dumps(TASKS.config(case.task)))
    assert TASKS.build(config) == case.task


@every_case
def test_learned_round_trip(case):
    target = case.target
    again = case.task.restore(json.loads(json.dumps(target.learned())))
    assert again == target
    assert torch.equal(again.encode(case.frame).nan_to_num(-1), target.encode(case.frame).nan_to_num(-1))
    assert again.signature == target.signature


@every_case
def test_encoding(case):
    target = case.target
    encoded = target.encode(case.frame)
    assert encoded.shape == (N, target.width)
    assert encoded.dtype == torch.float32
    missing = np.column_stack([case.frame[column].is_null() for column in case.task.columns])
    np.testing.assert_array_equal(encoded.isnan().numpy(), missing)
    assert not target.unseen(case.frame)


@every_case
def test_no_rows(case):
    target = case.target
    empty = case.frame.clear()
    encoded = target.encode(empty)
    assert encoded.shape == (0, target.width)
    outputs = torch.zeros(0, target.outputs)
    assert losses(target, outputs, encoded).shape == (0,)
    assert all(len(column) == 0 for column in target.present(target.answer(outputs)).values())
    assert np.isnan(target.reference_loss(encoded))


@every_case
def test_losses_and_gradients_are_finite_where_labels_are_missing(case):
    target = case.target
    outputs = noise(N, target.outputs).requires_grad_()
    encoded = torch.full((N, target.width), float("nan"))
    encoded[: N // 2] = target.encode(case.frame)[: N // 2]
    found = losses(target, outputs, encoded)
    assert found.shape == (N,)
    assert found.isfinite().all()
    torch.where(labelled(encoded), found, torch.zeros(())).sum().backward()
    assert outputs.grad.isfinite().all()
    assert (outputs.grad[~labelled(encoded)] == 0).all()
    assert (outputs.grad[labelled(encoded)] != 0).any()


@every_case
@pytest.mark.parametrize("scale", [1e-6, 100.0, 1e4])
def test_losses_are_stable_in_float32(case, scale):
    target = case.target
    encoded = target.encode(case.frame)
    single = noise(N, target.outputs, scale=scale).requires_grad_()
    double = single.detach().double().requires_grad_()
    exact = losses(target, double, encoded.double())
    found = losses(target, single, encoded)
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-5)
    found.sum().backward()
    assert single.grad.isfinite().all()


@every_case
def test_gradients_are_those_of_the_loss(case):
    target = case.target
    encoded = target.encode(case.frame)[:6].double()
    outputs = noise(6, target.outputs, seed=4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda o: losses(target, o, encoded), (outputs,))


@every_case
def test_stacked_tasks_lose_what_separate_ones_lose(case):
    target = case.target
    shuffled = case.frame[list(range(0, N, 2)) + list(range(N // 2))]  # other frequencies, same classes
    other = case.task.fit(shuffled)
    assert other.signature == target.signature
    outputs = noise(N, 2, target.outputs)
    encoded = torch.stack([target.encode(case.frame), other.encode(shuffled)], 1)
    together = case.task.row_losses(outputs, encoded, constants(target, other))
    torch.testing.assert_close(together[:, 0], losses(target, outputs[:, 0], encoded[:, 0]))
    torch.testing.assert_close(together[:, 1], losses(other, outputs[:, 1], encoded[:, 1]))


@every_case
def test_no_constant_is_better_than_the_bias(case):
    target = case.target
    encoded = target.encode(case.frame)
    rows = encoded[labelled(encoded)].double()

    def mean_loss(constant):
        outputs = torch.tensor(constant).expand(len(rows), -1).requires_grad_()
        value = losses(target, outputs, rows).mean()
        (slope,) = torch.autograd.grad(value, outputs)
        return float(value.detach()), slope.sum(0).numpy()

    bias = target.bias()
    assert bias.shape == (target.outputs,)
    assert bias.dtype == torch.float32
    value = mean_loss(bias.double().numpy())[0]
    assert target.reference_loss(encoded) == pytest.approx(value, rel=1e-5)
    assert value > 0
    rng = np.random.default_rng(5)
    smooth = getattr(case.task, "loss", "") not in ("mae", "pinball")
    for start in (bias.double().numpy() + 0.3 * rng.normal(size=len(bias)), rng.normal(size=len(bias))):
        if smooth:
            best = minimize(mean_loss, start, jac=True, method="BFGS").fun
        else:
            best = minimize(lambda c: mean_loss(c)[0], start, method="Powell", options={"xtol": 1e-8}).fun
        assert value <= best + 1e-6
        assert value == pytest.approx(best, abs=2e-3)  # the search got there, so the comparison says something


@every_case
def test_presented_labels_are_those_of_the_user(case):
    target = case.target
    encoded = target.encode(case.frame)
    known = ~encoded.isnan().any(-1)
    answer = perfect_answer(target, target.truth(encoded[known]))
    table = pl.DataFrame(target.present(answer))
    for column in case.task.columns:
        expected = case.frame[column].filter(pl.Series(known.numpy()))
        if expected.dtype.is_float():
            np.testing.assert_allclose(table[column], expected, rtol=1e-5, atol=1e-5)
        else:
            assert table[column].cast(expected.dtype).to_list() == expected.to_list()
            assert table[column].dtype == expected.dtype or TASKS.name_of(case.task) == "count"


@every_case
def test_answers_have_a_meaning(case):
    target = case.target
    answer = target.answer(noise(N, target.outputs, scale=3.0))
    assert all(values.dtype == np.float64 and len(values) == N for values in answer.values())
    for name in ("probability", "probabilities"):
        if name in answer:
            assert ((answer[name] >= 0) & (answer[name] <= 1)).all()
    if "probabilities" in answer and TASKS.name_of(case.task) != "multilabel":
        np.testing.assert_allclose(answer["probabilities"].sum(1), 1)
    if "low" in answer:
        assert (answer["low"] <= answer["value"]).all()
        assert (answer["value"] <= answer["high"]).all()
    table = pl.DataFrame(target.present(answer))
    assert table.height == N
    assert set(case.task.columns) <= set(table.columns)


@every_case
def test_metrics_of_a_perfect_answer_are_best_and_no_other_is_better(case):
    target = case.target
    encoded = target.encode(case.frame)
    truth = target.truth(encoded[labelled(encoded)])
    perfect = perfect_answer(target, truth)
    guess = target.answer(noise(len(truth), target.outputs))
    for metric in case.task.metrics():
        rows = metric.rows(guess, truth)
        assert rows.shape == (len(truth),)
        assert metric.value(guess, truth) == pytest.approx(rows.mean())
        sign = 1 if metric.higher_is_better else -1
        assert sign * metric.value(perfect, truth) > sign * metric.value(guess, truth)
        if metric.best is not None:
            assert metric.value(perfect, truth) == pytest.approx(metric.best, abs=1e-5 * max(1, np.nanmax(truth) ** 2))
            assert metric.error(metric.best) == 0
    assert case.task.main_metric == case.task.metrics()[0]
    assert np.isnan(case.task.main_metric.value({k: v[:0] for k, v in guess.items()}, truth[:0]))


@every_case
def test_metric_names_are_unique_and_choosable(case):
    names = [metric.name for metric in case.task.metrics() if metric.best is not None]
    assert len(set(names)) == len(names)
    for name in names:
        assert dataclasses.replace(case.task, metric=name).main_metric.name == name


@every_case
def test_fields_beside_the_loss_leave_the_signature_alone(case):
    other = dataclasses.replace(case.task, name="other", weight=2.0, role="auxiliary")
    assert other.fit(case.frame).signature == case.target.signature
    assert isinstance(case.task, Task)
