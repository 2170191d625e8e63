"""The contract of a balancing method: what it may see, what it answers, what it promises.

A method is mathematics: a frozen dataclass of hyperparameters with pure functions from evidence to an answer. Its
memory is a value that goes in and comes out. It never sees a model, an optimizer or a loop.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import ClassVar, Literal, TypeAlias

from torch import Generator, Tensor

from polytask.catalogue import Paper
from polytask.errors import UserError

State: TypeAlias = dict[str, Tensor]
"""Everything a method remembers: tensors with leading dimension T. ``{}`` if it remembers nothing.

A key that starts with :data:`PAIRS` holds a number per pair of tasks, ``(T, T)``.
"""

PAIRS = "pairs."
"""Start of the keys of pairs. Pairs of tasks that were met one after the other hold 0 at first."""


class Need(IntEnum):
    """What a method must see, cheapest first. The engine computes no more than this."""

    LOSSES = 0
    """``(T,)``: one forward pass."""
    GRAMIAN = 1
    """``(T, T)``: inner products of the task gradients on the shared parameters."""
    JACOBIAN = 2
    """``(T, P)``: the task gradients themselves."""
    BILEVEL = 3
    """Losses of other rows at other parameters: steps of their own in ``polytask.training``, and no ``Balancer``."""


class Law(Enum):
    """A property that a method promises; ``tests/laws`` holds one test for each."""

    SIMPLEX = "weights are non-negative and sum to 1"
    SUM_T = "weights are non-negative and sum to T"
    POSITIVE = "weights are positive"
    EQUIVARIANT = "permuting the tasks permutes the weights"
    SCALE_FREE = "rescaling all losses (and gradients) by one factor leaves the weights alone"
    TASK_SCALE_FREE = "rescaling one task's loss by c divides its weight by c: the update does not change"
    NON_CONFLICTING = "no task's loss rises to first order"
    DIRECTION_SCALE_FREE = "rescaling one task's loss leaves the direction of the update alone"
    LINEAR = "rescaling losses by a + b gives the sum of the updates for a and for b"
    EQUAL_PROJECTION = "the update has the same projection on every task's unit gradient, where that is possible"
    BARGAIN = "every task's weight times its gain is the same, where some direction serves all"
    EXACT = "the optimality conditions hold to 1e-9 (in float64), as the method measures them itself"


@dataclass(frozen=True)
class Evidence:
    """What is known of the T present tasks at one step. Fields above the method's need are None.

    :param losses: ``(T,)``.
    :param gramian: ``(T, T)``: ``J Jᵀ``, inner products of the task gradients.
    :param jacobian: ``(T, P)``: the task gradients, one a row.
    :param cross: ``(T, T)``: ``J1 J2ᵀ``, inner products of the task gradients on two independent batches (not
        symmetric), for methods with :attr:`Method.n_batches` above 1. None: they use ``gramian``.
    :param kpi: ``(T,)``: how well each task is solved, in (0, 1], higher is better; NaN where it is not known. For
        methods with :attr:`Method.reads_kpi`. None: not known of any task.
    """

    losses: Tensor
    gramian: Tensor | None = None
    jacobian: Tensor | None = None
    cross: Tensor | None = None
    kpi: Tensor | None = None

    @property
    def products(self) -> Tensor:
        """The Gramian ``(T, T)``, for methods that need it."""
        return _given(self.gramian, "the Gramian")

    @property
    def rows(self) -> Tensor:
        """The Jacobian ``(T, P)``, for methods that need it."""
        return _given(self.jacobian, "the Jacobian")

    def like(self, need: Need) -> Tensor:
        """What :meth:`Method.init` of a method of this need takes as ``like``: the Jacobian, or the losses."""
        return self.jacobian if need is Need.JACOBIAN and self.jacobian is not None else self.losses


def _given(evidence: Tensor | None, what: str) -> Tensor:
    if evidence is None:
        raise UserError(f"the method needs {what} of the task gradients, which it was not given.")
    return evidence


class Method(ABC):
    """What every method has. Hyperparameters are dataclass fields; memory is :data:`State`."""

    needs: ClassVar[Need]
    paper: ClassVar[Paper | None] = None
    laws: ClassVar[frozenset[Law]] = frozenset()
    verified: ClassVar[str] = ""
    """What the tests hold the method against, besides the laws that it promises; for the tables of the docs."""
    domain: ClassVar[Literal["any", "non-negative", "positive"]] = "any"
    """The losses that the formula is defined for. The caller checks, because it knows the tasks' names."""
    looks_back: ClassVar[bool] = False
    """Whether the method wants the losses of the same batch again after the step (:meth:`look_back`)."""
    n_batches: ClassVar[int] = 1
    """Independent batches per step in the paper. The caller may give ``Evidence.cross`` if it is above 1."""
    reads_kpi: ClassVar[bool] = False
    """Whether the method looks at ``Evidence.kpi``."""
    mentions_all: ClassVar[bool] = False
    """Whether :meth:`mentions` must name every task of the run."""

    def mentions(self) -> frozenset[str]:
        """Tasks that the hyperparameters name (weights by task name); the caller checks that the run has them."""
        return frozenset()

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The memory before the first step, for these tasks, with the dtype and device of ``like``.

        :param like: ``evidence.like(method.needs)``: a method that needs the Jacobian is given one, so that it knows
            P (the last dimension); every other method is given losses.
        """
        return {}

    def look_back(self, losses: Tensor, state: State) -> State:
        """The memory after the step: ``losses`` ``(T,)`` are those of the same batch and tasks, computed anew.

        It is only called if :attr:`looks_back` says so; ``state`` is what :meth:`Weigher.weigh` returned, and is not
        changed.
        """
        return state

    def epoch_end(self, state: State) -> State:
        """The memory after an epoch has ended (DWA works on epoch means)."""
        return state

    def residual(self, evidence: Evidence, state: State, weights: Tensor) -> float:
        """How far the weights are from what defines them (relative error of the optimality conditions).

        NaN: the method solves nothing. It is for logging: computed on the CPU from the Gramian, not free.

        :param state: the memory that :meth:`Weigher.weigh` was given.
        """
        return math.nan


class Weigher(Method):
    """A method that answers with one weight per task."""

    @abstractmethod
    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """Weights ``(T,)`` and the next memory; neither argument is changed."""


class Combiner(Method):
    """A method whose update is no weighted sum of task gradients: it answers with the update."""

    needs = Need.JACOBIAN

    @abstractmethod
    def combine(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The update ``(P,)`` and the next memory; neither argument is changed."""
