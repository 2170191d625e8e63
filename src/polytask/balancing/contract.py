"""The contract of a balancing method: what it may see, what it answers, what it promises.

A method is mathematics: a frozen dataclass of hyperparameters with pure functions from evidence to an answer. Its
memory is a value that goes in and comes out. It never sees a model, an optimizer or a loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import ClassVar, Literal, TypeAlias

from torch import Generator, Tensor

from polytask.catalogue import Paper

State: TypeAlias = dict[str, Tensor]
"""Everything a method remembers: tensors with leading dimension T. ``{}`` if it remembers nothing."""


class Need(IntEnum):
    """What a method must see, cheapest first. The engine computes no more than this."""

    LOSSES = 0
    """``(T,)``: one forward pass."""
    GRAMIAN = 1
    """``(T, T)``: inner products of the task gradients on the shared parameters."""
    JACOBIAN = 2
    """``(T, P)``: the task gradients themselves."""


class Law(Enum):
    """A property that a method promises; ``tests/laws`` holds one test for each."""

    SIMPLEX = "weights are non-negative and sum to 1"
    SUM_T = "weights are non-negative and sum to T"
    POSITIVE = "weights are positive"
    EQUIVARIANT = "permuting the tasks permutes the weights"
    SCALE_FREE = "rescaling all losses (and gradients) by one factor leaves the weights alone"
    TASK_SCALE_FREE = "rescaling one task's loss by c divides its weight by c: the update does not change"
    NON_CONFLICTING = "no task's loss rises to first order"


@dataclass(frozen=True)
class Evidence:
    """What is known of the T present tasks at one step. Fields above the method's need are None."""

    losses: Tensor
    gramian: Tensor | None = None
    jacobian: Tensor | None = None


class Method(ABC):
    """What every method has. Hyperparameters are dataclass fields; memory is :data:`State`."""

    needs: ClassVar[Need]
    paper: ClassVar[Paper | None] = None
    laws: ClassVar[frozenset[Law]] = frozenset()
    domain: ClassVar[Literal["any", "non-negative", "positive"]] = "any"
    """The losses that the formula is defined for. The caller checks, because it knows the tasks' names."""

    def mentions(self) -> frozenset[str]:
        """Tasks that the hyperparameters name (weights by task name); the caller checks that the run has them."""
        return frozenset()

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The memory before the first step, for these tasks, with the dtype and device of ``like``."""
        return {}

    def epoch_end(self, state: State) -> State:
        """The memory after an epoch has ended (DWA works on epoch means)."""
        return state


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
