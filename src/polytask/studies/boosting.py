"""LightGBM, one model per target: the strong contender that knows nothing of the other tasks (extra ``[boosting]``)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polytask.batch import Inputs
from polytask.catalogue import changed_fields
from polytask.data.table import Table
from polytask.errors import MissingExtraError
from polytask.studies.problem import Part, Problem
from polytask.studies.trainer import Fitted, Trainer
from polytask.studies.trees import Objective, answer, objectives
from polytask.tasks.task import Array, Target

Matrix = NDArray[np.float32]
Labelled = tuple[Matrix, Matrix]
Booster = Any  # lightgbm.Booster; the package has no types


@dataclass(frozen=True)
class Boosting(Trainer):
    """Gradient boosted trees with early stopping on the validation rows.

    :param rounds: most boosting rounds. :param learning_rate: shrinkage of each tree. :param leaves: per tree.
    :param min_leaf_rows: fewest rows in a leaf. :param patience: rounds without a better validation loss.
    :param threads: of LightGBM; more than one is faster but no longer exactly repeatable.

    Ke, Meng, Finley, Wang, Chen, Ma, Ye, Liu. LightGBM: A Highly Efficient Gradient Boosting Decision Tree.
    NeurIPS 2017.
    """

    rounds: int = 1000
    learning_rate: float = 0.05
    leaves: int = 15
    min_leaf_rows: int = 20
    patience: int = 30
    threads: int = 1

    def describe(self) -> dict[str, Any]:
        """The options that differ from the defaults."""
        return {"name": "lightgbm"} | changed_fields(self)

    def fit(self, problem: Problem, tasks: tuple[str, ...], part: Part, seed: int) -> Fitted:
        """One set of trees per target column of the tasks, or several where the task wants an interval."""
        targets = problem.chosen(tasks)
        begin = time.perf_counter()
        categorical = list(range(problem.spec.numeric, problem.spec.numeric + len(problem.spec.cardinalities)))
        train, held = _rows(part.train), _rows(part.validation) if part.validation is not None else None
        forests = {
            t.task.name: [
                self._grown(objective, train.column(t, i), held.column(t, i) if held else None, categorical, seed)
                for i in range(t.width)
                for objective in objectives(t)
            ]
            for t in targets
        }
        return Trees(targets, forests, seconds=time.perf_counter() - begin)

    def _grown(
        self, objective: Objective, train: Labelled, validation: Labelled | None, categorical: list[int], seed: int
    ) -> Booster:
        """The trees of one objective, from features and labels to train on and, maybe, to stop by."""
        lightgbm = lightgbm_module()
        options = {
            **objective,
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_leaf_rows,
            "num_threads": self.threads,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }
        quiet = {"verbosity": -1}
        data = lightgbm.Dataset(*train, categorical_feature=categorical, params=quiet)
        valid, stops = [], []
        if self.patience and validation is not None and len(validation[1]):
            valid = [lightgbm.Dataset(*validation, reference=data, params=quiet)]
            stops = [lightgbm.early_stopping(self.patience, verbose=False)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # LightGBM warns about parameters that it was given twice
            return lightgbm.train(options, data, self.rounds, valid_sets=valid, callbacks=stops)


@dataclass(frozen=True)
class _Rows:
    """Rows as LightGBM wants them.

    :param features: ``(N, F + C)``. :param labels: task -> ``(N, W)``, NaN where missing.
    """

    features: Matrix
    labels: Mapping[str, Matrix]

    def column(self, target: Target, i: int) -> Labelled:
        """Features and labels of the rows that carry this label."""
        labels = self.labels[target.task.name][:, i]
        known = ~np.isnan(labels)
        return self.features[known], labels[known]


def _rows(table: Table) -> _Rows:
    batch = table.batch(torch.arange(len(table)))
    return _Rows(matrix(batch.inputs), {task: batch.targets[task].numpy() for task in batch.targets.layout})


@dataclass
class Trees(Fitted):
    """Boosted trees of some tasks."""

    targets: tuple[Target, ...]
    forests: dict[str, list[Booster]]
    seconds: float
    memory_bytes: float = float("nan")
    history: tuple[()] = ()
    best_epochs: dict[str, int] = field(default_factory=dict)
    selected: float = float("nan")

    def __post_init__(self) -> None:
        self.tasks = tuple(target.task.name for target in self.targets)
        boosters = [booster for forest in self.forests.values() for booster in forest]
        self.steps = sum(int(booster.current_iteration()) for booster in boosters)
        self.parameters = sum(_leaves(booster) for booster in boosters)
        self.artefact_bytes = sum(len(booster.model_to_string().encode()) for booster in boosters)

    def answers(self, inputs: Inputs) -> dict[str, dict[str, Array]]:
        """What the trees say about N rows."""
        features = matrix(inputs)
        return {
            target.task.name: answer(target, [booster.predict(features) for booster in self.forests[target.task.name]])
            for target in self.targets
        }


def matrix(inputs: Inputs) -> Matrix:
    """Numeric columns and category codes side by side, ``(N, F + C)``."""
    return np.concatenate([inputs.numeric.numpy(), inputs.categorical.numpy().astype(np.float32)], axis=1)


def _leaves(booster: Booster) -> int:
    return int(sum(tree["num_leaves"] for tree in booster.dump_model()["tree_info"]))


def lightgbm_module() -> Any:
    """LightGBM.

    :raises MissingExtraError: it is not installed.
    """
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("lightgbm", "boosting", "The boosting contender") from None
    return lightgbm
