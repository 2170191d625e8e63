"""The contract between a comparison and what it trains: networks or boosted trees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from polytask.batch import Inputs
from polytask.record.layout import LayoutFacts
from polytask.record.run import EpochRecord
from polytask.studies.problem import Part, Problem
from polytask.tasks.task import Array


class Fitted(ABC):
    """One trained model that answers for one or several tasks.

    :param tasks: what it answers for.
    :param seconds: training time. :param steps: optimizer steps, or boosting rounds.
    :param parameters: trainable numbers, or leaves. :param artefact_bytes: its size on disk.
    :param memory_bytes: what one training step holds: weights, gradients, moments, kept activations; NaN if unknown.
    :param history: one record per epoch; empty where there are no epochs.
    :param selected: value on the validation rows that chose its weights; higher is better.
    :param layout: who shares what in a network, with its gates.
    """

    tasks: tuple[str, ...]
    seconds: float
    steps: int
    parameters: int
    artefact_bytes: int
    memory_bytes: float
    history: Sequence[EpochRecord]
    best_epochs: dict[str, int]
    selected: float
    layout: LayoutFacts | None = None

    @abstractmethod
    def answers(self, inputs: Inputs) -> dict[str, dict[str, Array]]:
        """What it says about N rows: task -> answer."""


class Trainer(ABC):
    """A way of training one model for some tasks of a problem."""

    @abstractmethod
    def fit(self, problem: Problem, tasks: tuple[str, ...], part: Part, seed: int) -> Fitted:
        """A model trained on ``part.train``, with its weights chosen on ``part.validation``."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The configuration as JSON values, for the record."""


@dataclass(frozen=True)
class Contender:
    """One way of learning all the tasks, trained once per seed.

    :param name: short and unique. :param title: what tables and charts print.
    :param kind: ``"single"``: one model per task; ``"multi"``: models that serve several; ``"linear"``:
        convex estimators; ``"boosting"``: trees.
    :param groups: the tasks of each of its models; together they cover every task once.
    :param judged: its differences to the baseline get verdicts and enter the Holm family.
    """

    name: str
    title: str
    description: str
    kind: Literal["single", "multi", "linear", "boosting"]
    trainer: Trainer
    groups: tuple[tuple[str, ...], ...]
    judged: bool = True
