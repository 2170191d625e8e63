"""Networks as contenders: any recipe, for any group of tasks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from polytask.batch import Inputs
from polytask.catalogue import changed_fields
from polytask.data import SAMPLERS
from polytask.data.table import Table
from polytask.nets.encoders import ENCODERS
from polytask.nets.sharing import SHARING
from polytask.record.run import EpochRecord
from polytask.studies.memory import step_bytes
from polytask.studies.problem import Part, Problem
from polytask.studies.trainer import Fitted, Trainer
from polytask.tasks.task import Array, labelled
from polytask.training.balancers import BALANCERS
from polytask.training.batching import updates
from polytask.training.options import TrainingOptions
from polytask.training.parts import Part as Trunk
from polytask.training.recipe import Recipe
from polytask.training.scoring import on_cpu
from polytask.training.threads import thread_count, threads
from polytask.training.trainer import Trained, train_model


@dataclass(frozen=True)
class Network(Trainer):
    """A model trained by a recipe.

    It trains on the rows that carry a label of its tasks. The budget of optimizer steps, and the patience counted in
    steps, are those of a model trained on all rows, so that every contender gives a task the same number of updates
    at most, however many labels are missing.
    """

    recipe: Recipe

    def describe(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {
            "encoder": ENCODERS.config(self.recipe.encoder),
            "sharing": SHARING.config(self.recipe.sharing),
            "balancer": BALANCERS.config(self.recipe.balancer),
            "sampler": SAMPLERS.config(self.recipe.sampler),
            "training": changed_fields(self.recipe.options),
        }

    def fit(self, problem: Problem, tasks: tuple[str, ...], part: Part, seed: int) -> Fitted:
        """One network for these tasks."""
        targets = problem.chosen(tasks)
        own = carrying(part.train, tasks)
        held = None if part.validation is None else carrying(part.validation, tasks)
        options = same_budget(
            self.recipe.options, updates(part.train, self.recipe.options), updates(own, self.recipe.options)
        )
        recipe = dataclasses.replace(self.recipe, options=options)
        trained = train_model(own, problem.spec, targets, recipe, validation=held, seed=seed)
        batch = own.batch(torch.arange(min(options.batch_size, len(own))))
        return FittedNetwork(trained, tasks, float(step_bytes(trained.model, batch)))

    def limited(self, steps: int) -> Network:
        """The same recipe with at most so many optimizer steps per model."""
        options = dataclasses.replace(self.recipe.options, max_steps=max(1, steps))
        return Network(dataclasses.replace(self.recipe, options=options))


def carrying(table: Table, tasks: tuple[str, ...]) -> Table:
    """The rows that carry a label of one of these tasks; all, if none does."""
    known = torch.stack([labelled(table.labels(task)) for task in tasks]).any(0)
    return table.take(known.nonzero()[:, 0]) if bool(known.any()) and not bool(known.all()) else table


def same_budget(options: TrainingOptions, full: int, own: int) -> TrainingOptions:
    """Options that give a model on some of the rows the steps, and the patience in steps, of one on all rows.

    :param full, own: optimizer steps of a pass over all rows, and over those of the model.

    >>> changed = same_budget(TrainingOptions(epochs=10, patience=4), full=10, own=5)
    >>> changed.epochs, changed.max_steps, changed.patience
    (20, 100, 8)
    """
    steps = full * options.epochs
    return dataclasses.replace(
        options,
        epochs=math.ceil(steps / own),
        max_steps=min(steps, options.max_steps or steps),
        patience=round(options.patience * full / own),
    )


@dataclass
class FittedNetwork(Fitted):
    """A trained network, or the several of ``keep="per_task"``."""

    trained: Trained
    tasks: tuple[str, ...]
    memory_bytes: float

    def __post_init__(self) -> None:
        self.seconds, self.steps = self.trained.seconds, self.trained.steps
        self.parameters = sum(p.numel() for part in self.parts for p in part.model.parameters())
        self.artefact_bytes = sum(t.nbytes for part in self.parts for t in part.model.task_state(part.tasks).values())
        best = [epoch.diagnostics for epoch in self.history if epoch.epoch == self.trained.best_epoch]
        self.layout = self.trained.layout.with_gates(best[0] if best else {})
        self.best_epochs = dict(self.trained.best_epoch_per_task)
        gains = [epoch.gain for epoch in self.history if math.isfinite(epoch.gain)]
        self.selected = max(gains, default=float("-inf"))

    @property
    def parts(self) -> tuple[Trunk, ...]:
        """The models behind it."""
        return self.trained.parts

    @property
    def history(self) -> Sequence[EpochRecord]:  # type: ignore[override]  # read-only here
        """One record per epoch."""
        return self.trained.history

    def answers(self, inputs: Inputs) -> dict[str, dict[str, Array]]:
        """What the network says about N rows."""
        found: dict[str, dict[str, Array]] = {}
        for part in self.parts:
            with torch.inference_mode(), threads(thread_count(part.model, len(inputs) // 3)):
                outputs = part.model.answers(part.model(inputs))
            found |= {t.task.name: t.answer(on_cpu(outputs[t.task.name])) for t in part.targets}
        return found
