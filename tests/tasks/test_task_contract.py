"""What every kind of task must do, whatever it predicts."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.optimize import minimize
from task_cases import CASES, encoded, perfect_answer

from polytask import tasks
from polytask.batch import Ragged
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
    bases = ("(Task):", *(f"({cls.__name__}):" for _, cls in TASKS.items()))
    defined = {p.stem for p in folder.glob("*.py") if any(base in p.read_text() for base in bases)} - {"task"}
    assert defined == set(TASKS), "list the new kind of task in polytask/tasks/__init__.py"
    assert {TASKS.name_of(case.task) for case in CASES} == set(TASKS), "add cases to tests/tasks/task_cases.py"


@pytest.mark.parametrize("name", list(TASKS))
def test_every_kind_says_what_it_is(name):
    row = next(row for row in TASKS.rows() if row.name == name)
    assert row.summary.endswith(".") or len(row.summary) > 40
    assert dataclasses.is_dataclass(TASKS.find(name))


def encoded_values(target, frame):
    found = encoded(target, frame)
    return found.values if isinstance(found, Ragged) else found


@every_case
def test_configuration_round_trip(case):
    config = json.loads(json.dumps(TASKS.config(case.task)))
    assert TASKS.build(config) == case.task


@every_case
def test_learned_round_trip(case):
    target = case.target
    again = case.task.restore(json.loads(json.dumps(target.learned())))
    assert again == target
    assert torch.equal(encoded_values(again, case.frame).nan_to_num(-9), case.units.nan_to_num(-9))
    assert again.signature == target.signature


@every_case
def test_encoding(case):
    target, found = case.target, case.encoded
    assert case.units.shape[1] == target.width
    assert case.units.dtype == torch.float32
    if isinstance(found, Ragged):
        assert target.unit in ("word", "list")
        assert len(found) == case.frame.height
        np.testing.assert_array_equal(found.present.numpy(), case.known)
        assert int(found.lengths.sum()) == len(found.values)
        if target.unit == "word":
            sizes = case.frame["words"].list.len().to_numpy()
            np.testing.assert_array_equal(found.counts.numpy()[case.known], sizes[case.known])
        assert not found.values[:, 0].isnan().any()
    else:
        assert len(found) == case.frame.height
        missing = np.column_stack([case.frame[column].is_null() for column in case.task.columns])
        np.testing.assert_array_equal(found.isnan().numpy(), missing)
    assert not target.unseen(case.frame)


@every_case
def test_no_rows(case):
    target = case.target
    found = encoded(target, case.frame.clear())
    values = found.values if isinstance(found, Ragged) else found
    assert len(found) == 0
    assert values.shape == (0, target.width)
    outputs = torch.zeros(0, target.outputs)
    assert losses(target, outputs, values).shape == (0,)
    answer = target.answer(outputs if target.unit == "row" else Ragged(target.reduce(outputs), found.counts))
    assert all(len(column) == 0 for column in target.present(answer).values())
    assert np.isnan(target.reference_loss(found))


@every_case
def test_losses_and_gradients_are_finite_where_labels_are_missing(case):
    target, labels = case.target, case.units.clone()
    labels[len(labels) // 2 :] = float("nan")
    outputs = noise(len(labels), target.outputs).requires_grad_()
    found = losses(target, outputs, labels)
    assert found.shape == (len(labels),)
    assert found.isfinite().all()
    torch.where(labelled(labels), found, torch.zeros(())).sum().backward()
    assert outputs.grad.isfinite().all()
    assert (outputs.grad[~labelled(labels)] == 0).all()
    assert (outputs.grad[labelled(labels)] != 0).any()


@every_case
@pytest.mark.parametrize("scale", [1e-6, 100.0, 1e4])
def test_losses_are_stable_in_float32(case, scale):
    target, labels = case.target, case.units
    single = noise(len(labels), target.outputs, scale=scale).requires_grad_()
    double = single.detach().double().requires_grad_()
    exact = losses(target, double, labels.double())
    found = losses(target, single, labels)
    assert found.isfinite().all()
    torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-5)
    found.sum().backward()
    assert single.grad.isfinite().all()


@every_case
def test_gradients_are_those_of_the_loss(case):
    target = case.target
    labels = case.units[:6].double()
    outputs = noise(6, target.outputs, seed=4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda o: losses(target, o, labels), (outputs,))


@every_case
def test_stacked_tasks_lose_what_separate_ones_lose(case):
    target, n = case.target, case.frame.height
    again = case.frame[[*range(n), *range(0, n, 2)]]  # other frequencies, same classes
    other = case.task.fit(again)
    assert other.signature == target.signature
    labels = torch.stack([case.units, encoded_values(other, again)[: len(case.units)]], 1)
    outputs = noise(len(labels), 2, target.outputs)
    together = case.task.row_losses(outputs, labels, constants(target, other))
    torch.testing.assert_close(together[:, 0], losses(target, outputs[:, 0], labels[:, 0]))
    torch.testing.assert_close(together[:, 1], losses(other, outputs[:, 1], labels[:, 1]))


@every_case
def test_no_constant_is_better_than_the_bias(case):
    target = case.target
    rows = case.units[labelled(case.units)].double()

    def mean_loss(constant):
        outputs = torch.tensor(constant).expand(len(rows), -1).requires_grad_()
        value = losses(target, outputs, rows).mean()
        (slope,) = torch.autograd.grad(value, outputs)
        return float(value.detach()), slope.sum(0).numpy()

    bias = target.bias()
    assert bias.shape == (target.outputs,)
    assert bias.dtype == torch.float32
    value = mean_loss(bias.double().numpy())[0]
    assert value > 0
    if target.head == "spans":
        return  # its loss is about all spans of a text; see test_span_labelling.py
    beside = log_candidates(case) if target.head == "biaffine" else 0.0
    assert target.reference_loss(case.encoded) == pytest.approx(value + beside, rel=1e-5)
    if len(bias) > 100:  # a search takes seconds; cross-entropy is convex, so that a slope of 0 is enough
        assert np.abs(mean_loss(bias.double().numpy())[1]).max() < 1e-5
        return
    rng = np.random.default_rng(5)
    smooth = getattr(case.task, "loss", "") not in ("mae", "pinball")
    for start in (bias.double().numpy() + 0.3 * rng.normal(size=len(bias)), rng.normal(size=len(bias))):
        if smooth:
            best = minimize(mean_loss, start, jac=True, method="BFGS").fun
        else:
            best = minimize(lambda c: mean_loss(c)[0], start, method="Powell", options={"xtol": 1e-8}).fun
        assert value <= best + 1e-6
        assert value == pytest.approx(best, abs=2e-3)  # the search got there, so the comparison says something


def log_candidates(case):
    """Mean over words of the log number of words that may be their head: itself not, but the root."""
    sizes = case.encoded.lengths[case.encoded.lengths > 0].double()
    return float((sizes * sizes.log()).sum() / sizes.sum())


@every_case
def test_presented_labels_are_those_of_the_user(case):
    target, found = case.target, case.encoded
    known = found.present if isinstance(found, Ragged) else ~found.isnan().any(-1)
    answer = perfect_answer(target, target.truth(found[known]))
    kept = case.frame.filter(pl.Series(known.numpy()))
    words = kept["words"].to_list() if "words" in kept.columns else [[]] * kept.height
    table = pl.DataFrame(target.present_words(answer, words))
    for column in () if getattr(case.task, "soft", False) else case.task.columns:  # see test_soft_labels.py
        shown = table[column] if column in table.columns else table[f"{case.task.name}_{column}"]
        expected = kept[column]
        if target.head == "spans":
            spans = [[{k: v for k, v in span.items() if k != "text"} for span in row] for row in shown]
            assert spans == expected.to_list()
        elif expected.dtype.is_float():
            np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-5)
        else:
            assert shown.cast(expected.dtype).to_list() == expected.to_list()
            assert shown.dtype == expected.dtype or TASKS.name_of(case.task) == "count"


@every_case
def test_answers_have_a_meaning(case):
    target, n = case.target, case.frame.height
    answer = case.guess(scale=3.0)
    kind = np.float64 if target.unit == "row" else np.object_
    assert all(values.dtype == kind and len(values) == n for values in answer.values())
    for name in ("probability", "probabilities"):
        if name in answer:
            assert ((answer[name] >= 0) & (answer[name] <= 1)).all()
    if "probabilities" in answer and TASKS.name_of(case.task) != "multilabel":
        np.testing.assert_allclose(answer["probabilities"].sum(1), 1)
    if "low" in answer:
        assert (answer["low"] <= answer["value"]).all()
        assert (answer["value"] <= answer["high"]).all()
    table = pl.DataFrame(target.present(answer))
    assert table.height == n
    own_column = case.task.masks_words > 0 or getattr(case.task, "soft", False)
    assert set(case.task.columns) <= set(table.columns) or own_column


@every_case
def test_metrics_of_a_perfect_answer_are_best_and_no_other_is_better(case):
    target, found = case.target, case.encoded
    truth = target.truth(found[labelled(found)])
    perfect = perfect_answer(target, truth)
    guess = {name: values[labelled(found).numpy()] for name, values in case.guess().items()}
    for metric in case.task.metrics():
        rows = metric.rows(guess, truth)
        assert rows.shape == (len(truth),)
        assert metric.value(guess, truth) == pytest.approx(rows.mean())
        sign = 1 if metric.higher_is_better else -1
        assert sign * metric.value(perfect, truth) > sign * metric.value(guess, truth)
        if metric.best is not None:
            scale = 1 if truth.dtype == object else max(1, np.nanmax(truth) ** 2)
            assert metric.value(perfect, truth) == pytest.approx(metric.best, abs=1e-5 * scale)
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
    other = dataclasses.replace(case.task, name="other", weight=2.0, role="auxiliary").fit(case.frame)
    alike = other.signature == case.target.signature
    assert alike == (case.target.head == "linear")  # heads of other kinds serve one task each
    assert isinstance(case.task, Task)


@every_case
def test_a_student_has_nothing_to_learn_where_its_teacher_is(case):
    teacher = noise(5, 1, case.target.outputs)
    student = teacher.clone().requires_grad_()
    found = case.task.soft_losses(student, teacher, 2.0)
    if found is None:
        return  # this kind learns from labels only
    assert found.shape == (5, 1)
    found.sum().backward()
    assert student.grad.abs().max() < 1e-5
    away = case.task.soft_losses(teacher + noise(5, 1, case.target.outputs, seed=1), teacher, 2.0)
    assert (away > found.detach()).any()
    assert (away >= found.detach() - 1e-5).all()
