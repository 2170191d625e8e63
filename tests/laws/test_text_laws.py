"""Every way of sharing over texts: a task about rows beside tasks about words."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from nets_fakes import SPECS, coin, make_texts, randomise_heads
from text_fakes import tags
from torch import Tensor

from polytask.batch import Inputs, Ragged, Targets
from polytask.nets.encoders import WordEncoder
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING
from polytask.tasks.task import Target

COUNTS = (3, 1, 0, 4, 2)
TINY = WordEncoder(width=8, word_width=6, character_width=4, dropout=0.0, word_dropout=0.0)
TASKS: tuple[Target, ...] = (
    coin("mood", 0.2),
    tags("pos", 0.1, 0.2, 0.3, 0.0),
    tags("ner", 0.3, 0.1, head="crf"),
    tags("deps", 0.2, 0.1, 0.4, head="biaffine", width=2),
)
UNFIT = {"esmm": "multiplies probabilities of binary tasks along a funnel; words have none"}
WAYS = [way for way in SHARING if way not in UNFIT]


def with_parents(target: Target, *parents: str) -> Target:
    return replace(target, task=replace(target.task, parents=parents))  # type: ignore[type-var, call-arg]


FAMILY = (TASKS[0], TASKS[1], TASKS[2], with_parents(TASKS[3], "pos", "mood"))


def labels_of(missing: tuple[str, ...] = (), seed: int = 0) -> Targets:
    generator = torch.Generator().manual_seed(seed)
    words = sum(COUNTS)
    places = torch.tensor([[0.0], [1], [2], [0], [0], [1], [1], [1], [0], [1]])
    relation = torch.randint(0, 3, (words, 1), generator=generator).float()
    pos = torch.randint(0, 4, (words, 1), generator=generator).float()
    ner = torch.randint(0, 2, (words, 1), generator=generator).float()
    mood = torch.tensor([[1.0], [0], [1], [0], [1]])
    found = Targets(
        mood,
        {"mood": slice(0, 1)},
        torch.cat([pos, ner, places, relation], 1),
        {"pos": slice(0, 1), "ner": slice(1, 2), "deps": slice(2, 4)},
    )
    for task in missing:
        found[task][:] = torch.nan
    return found


def build(way: str, seed: int = 0) -> Model:
    torch.manual_seed(seed)
    targets = FAMILY if way in {"hierarchical", "aitm"} else TASKS
    model = Model(SPECS["text"], targets, TINY, SHARING.build(way))
    randomise_heads(model)
    return model


def total(model: Model, inputs: Inputs, targets: Targets) -> Tensor:
    outputs = model(inputs)
    penalty = model.sharing.penalty(outputs.representation, targets)
    losses = model.losses(outputs, targets).values.sum()
    return losses if penalty is None else losses + penalty


def values_of(answer: Tensor | Ragged) -> Tensor:
    return answer.values if isinstance(answer, Ragged) else answer


@pytest.mark.parametrize("way", WAYS)
def test_rows_and_words_are_answered_alike_together_and_alone(way: str) -> None:
    model, inputs = build(way).eval(), make_texts(COUNTS)
    joint = model.answers(model(inputs))
    sizes = {name: tuple(values_of(answer).shape) for name, answer in joint.items()}
    assert sizes == {"mood": (5, 1), "pos": (10, 4), "ner": (10, 1), "deps": (10, 2)}
    assert all(values_of(answer).isfinite().all() for answer in joint.values())
    for some in (("pos",), ("deps", "mood"), ("ner",)):
        for name, answer in model.answer(inputs, some).items():
            torch.testing.assert_close(values_of(answer), values_of(joint[name]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_texts_do_not_see_each_other_nor_their_padding(way: str) -> None:
    model, inputs = build(way).eval(), make_texts(COUNTS)
    joint = model.answers(model(inputs))
    assert inputs.values is not None
    assert inputs.mask is not None
    for row in (0, 1, 2):
        length = int(inputs.mask[row].sum())
        own = make_texts((COUNTS[row],))
        alone = replace(own, values=inputs.values[row : row + 1, :length], mask=inputs.mask[row : row + 1, :length])
        start = sum(COUNTS[:row])
        for name, answer in model.answers(model(alone)).items():
            whole = values_of(joint[name])
            part = whole[row : row + 1] if name == "mood" else whole[start : start + COUNTS[row]]
            torch.testing.assert_close(values_of(answer), part, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("missing", [(), ("mood",), ("pos", "deps"), ("mood", "pos", "ner", "deps")])
@pytest.mark.parametrize("way", WAYS)
def test_a_step_of_any_labels_is_finite(way: str, missing: tuple[str, ...]) -> None:
    model, targets = build(way).train(), labels_of(missing)
    for progress in (0.0, 0.5, 0.99):
        model.sharing.advance(progress)
        model.zero_grad()
        outputs = model(make_texts(COUNTS))
        assert set(model.losses(outputs, targets).names) == set(model.tasks) - set(missing)
        if len(missing) < len(model.tasks):
            total(model, make_texts(COUNTS), targets).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    for value in model.sharing.diagnostics(outputs.representation).values():
        assert value.isfinite()


@pytest.mark.parametrize("way", WAYS)
def test_no_text_and_texts_without_words(way: str) -> None:
    model = build(way)
    for counts in ((), (0,), (0, 0), (1,)):
        inputs = make_texts(counts)
        answers = model.eval().answers(model(inputs))
        assert {name: len(values_of(a)) for name, a in answers.items()} == {
            "mood": len(counts),
            "pos": sum(counts),
            "ner": sum(counts),
            "deps": sum(counts),
        }
        if counts == ():
            continue
        rows, words = len(counts), sum(counts)
        targets = Targets(torch.zeros(rows, 1), {"mood": slice(0, 1)}, torch.zeros(words, 4), labels_of().word_layout)
        model.zero_grad()
        total(model.train(), inputs, targets).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("way", WAYS)
def test_it_learns_labels_of_words(way: str) -> None:
    model, inputs, targets = build(way), make_texts(COUNTS), labels_of()

    def loss() -> float:
        with torch.no_grad():
            return float(model.losses(model.eval()(inputs), targets).values.sum())

    model.sharing.advance(0.99)
    before, optimizer = loss(), torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(40):
        model.train().sharing.advance(step / 40)
        optimizer.zero_grad()
        total(model, inputs, targets).backward()
        optimizer.step()
    model.sharing.advance(0.99)
    assert loss() < 0.8 * before


@pytest.mark.parametrize("way", WAYS)
def test_weights_go_round_by_task(way: str) -> None:
    model, inputs = build(way).eval(), make_texts(COUNTS)
    other = copy.deepcopy(build(way, seed=1)).eval()
    other.load_task_state(model.task_state())
    for name, answer in other.answers(other(inputs)).items():
        assert torch.equal(values_of(answer), values_of(model.answers(model(inputs))[name]))


def test_excuses_are_of_the_catalogue() -> None:
    assert set(UNFIT) <= set(SHARING)
