"""The shipped checks find what they are for: methods of a third party, each with one thing wrong."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from polytask.balancing import BrokenPromiseError, Combiner, Law, Need, Weigher, check_method
from polytask.balancing.laws import LAWS
from polytask.errors import UnknownNameError


@dataclass(frozen=True)
class TwoTaskMGDA(Weigher):
    """The nearest point of the first two rows' segment to the origin; the other rows get nothing."""

    needs = Need.GRAMIAN
    laws = frozenset({Law.SIMPLEX, Law.SCALE_FREE})

    def weigh(self, evidence, state, rng):
        G = evidence.gramian
        w = torch.zeros_like(G[0])
        if len(G) == 1:
            return torch.ones_like(w), state
        span = G[0, 0] + G[1, 1] - 2 * G[0, 1]
        share = ((G[1, 1] - G[0, 1]) / span).nan_to_num(0.5).clamp(0, 1)
        w[0], w[1] = share, 1 - share
        return w, state


@dataclass(frozen=True)
class Sum(Combiner):
    """The plain sum of the gradients."""

    laws = frozenset({Law.EQUIVARIANT, Law.SCALE_FREE})

    def combine(self, evidence, state, rng):
        return evidence.jacobian.sum(0), state


@dataclass(frozen=True)
class MemoryOfTasks(Weigher):
    """Counts steps per task, properly."""

    needs = Need.LOSSES

    def init(self, tasks, like):
        return {"steps": torch.zeros(len(tasks), dtype=torch.int64)}

    def weigh(self, evidence, state, rng):
        return torch.ones_like(evidence.losses), {"steps": state["steps"] + 1}


@pytest.mark.parametrize("method", [TwoTaskMGDA(), Sum(), MemoryOfTasks()])
def test_sound_methods_of_every_kind_pass(method):
    check_method(method)


class Base(Weigher):
    needs = Need.LOSSES


@dataclass(frozen=True)
class WrongShape(Base):
    def weigh(self, evidence, state, rng):
        return evidence.losses[:1] * torch.ones(2), state


@dataclass(frozen=True)
class WrongDtype(Base):
    def weigh(self, evidence, state, rng):
        return torch.ones(len(evidence.losses), dtype=torch.float32), state


@dataclass(frozen=True)
class NotFinite(Base):
    def weigh(self, evidence, state, rng):
        return 1 / (evidence.losses - evidence.losses.min()), state


@dataclass(frozen=True)
class ChangesItsState(Base):
    def init(self, tasks, like):
        return {"sum": torch.zeros_like(like)}

    def weigh(self, evidence, state, rng):
        return torch.ones_like(evidence.losses), {"sum": state["sum"].add_(evidence.losses)}


@dataclass(frozen=True)
class ChangesTheEvidence(Base):
    def weigh(self, evidence, state, rng):
        evidence.losses.mul_(2)
        return torch.ones_like(evidence.losses), state


@dataclass(frozen=True)
class GrowsItsState(Base):
    def weigh(self, evidence, state, rng):
        return torch.ones_like(evidence.losses), {**state, "new": evidence.losses}


@dataclass(frozen=True)
class PairsWithoutPairs(Base):
    def init(self, tasks, like):
        return {"pairs.met": torch.zeros(len(tasks), 2)}

    def weigh(self, evidence, state, rng):
        return torch.ones_like(evidence.losses), state


@dataclass(frozen=True)
class StateWithoutRows(Base):
    def init(self, tasks, like):
        return {"steps": torch.zeros(())}

    def weigh(self, evidence, state, rng):
        return torch.ones_like(evidence.losses), state


@dataclass(frozen=True)
class GlobalRandomness(Base):
    def weigh(self, evidence, state, rng):
        return torch.rand(len(evidence.losses), dtype=evidence.losses.dtype), state


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (WrongShape(), "the shape (4,)"),
        (WrongDtype(), "the dtype torch.float64"),
        (NotFinite(), "finite numbers"),
        (ChangesItsState(), "state['sum']"),
        (ChangesTheEvidence(), "losses left as it was given"),
        (GrowsItsState(), "the keys []"),
        (StateWithoutRows(), "one row per task"),
        (PairsWithoutPairs(), "one number per pair"),
        (GlobalRandomness(), "the global random generator"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Weigher) else "",
)
def test_breaches_of_the_contract_are_named(method, says):
    with pytest.raises(BrokenPromiseError) as caught:
        check_method(method)
    assert says in str(caught.value)
    assert "step" in str(caught.value)


def test_a_class_that_is_not_frozen_is_refused():
    @dataclass
    class Loose(Base):
        def weigh(self, evidence, state, rng):
            return torch.ones_like(evidence.losses), state

    with pytest.raises(BrokenPromiseError, match="frozen dataclass"):
        check_method(Loose())


class Answers(Base):
    """Weights by a formula; promises one law that the formula breaks."""

    def weigh(self, evidence, state, rng):
        return self.formula(evidence.losses), state


def liar(law, formula):
    cls = type(f"Breaks{law.name}", (Answers,), {"laws": frozenset({law}), "formula": staticmethod(formula)})
    return dataclass(frozen=True)(cls)()


LIARS = [
    liar(Law.SIMPLEX, torch.ones_like),
    liar(Law.SUM_T, lambda L: torch.softmax(L, 0)),
    liar(Law.POSITIVE, torch.zeros_like),
    liar(Law.EQUIVARIANT, lambda L: torch.arange(len(L), dtype=L.dtype)),
    liar(Law.SCALE_FREE, lambda L: L),
    liar(Law.TASK_SCALE_FREE, torch.ones_like),
    liar(Law.DIRECTION_SCALE_FREE, torch.ones_like),
    liar(Law.LINEAR, lambda L: torch.softmax(L, 0)),
    liar(Law.EQUAL_PROJECTION, torch.ones_like),
    liar(Law.BARGAIN, torch.ones_like),
]


@dataclass(frozen=True)
class ConflictingSum(Sum):
    """The plain sum, which may make a task worse."""

    laws = frozenset({Law.NON_CONFLICTING})


@dataclass(frozen=True)
class Halfway(Base):
    """Measures itself, and finds that it has not solved its problem."""

    laws = frozenset({Law.EXACT})

    def weigh(self, evidence, state, rng):
        return torch.ones_like(evidence.losses), state

    def residual(self, evidence, state, weights):
        return 1e-3


GRADIENT_LIARS = [ConflictingSum(), Halfway()]


@pytest.mark.parametrize("method", [*LIARS, *GRADIENT_LIARS], ids=lambda method: type(method).__name__)
def test_every_law_catches_a_method_that_breaks_it(method):
    (law,) = method.laws
    with pytest.raises(BrokenPromiseError, match=f"law {law.name}") as caught:
        check_method(method)
    assert isinstance(caught.value, AssertionError)
    assert "The losses there are [" in str(caught.value)


def test_every_law_has_a_liar():
    assert {law for method in [*LIARS, *GRADIENT_LIARS] for law in method.laws} == set(LAWS)


def test_names_work_and_unknown_ones_do_not():
    check_method("equal")
    with pytest.raises(UnknownNameError, match="Did you mean 'equal'"):
        check_method("equl")
