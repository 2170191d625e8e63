"""The high level: tasks and a table in, a fitted model out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from lightning_fabric import Fabric

from polytask.balancing.contract import Method
from polytask.data.options import SchemaOptions
from polytask.data.pieces import Frame
from polytask.data.sampling.sampler import Sampler
from polytask.data.sources import read
from polytask.data.table import Table
from polytask.errors import UserError
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.sharing import Sharing
from polytask.record.folder import RunFolder, path_of, refuse_existing
from polytask.record.run import EpochRecord
from polytask.tasks import TASKS
from polytask.tasks.task import Task
from polytask.training.adding import Forgetting, How, Sides, with_task
from polytask.training.artefact import Artefact, artefact_in, read_artefact, write_artefact
from polytask.training.config import LearnerConfig, Spec, options_of
from polytask.training.distillation import Distillation
from polytask.training.events import Listener
from polytask.training.fitted import Fitted
from polytask.training.listeners.run_files import RunFiles
from polytask.training.options import TrainingOptions
from polytask.training.parts import routed_outputs
from polytask.training.presenting import like, presented_by, side_by_side, words_of
from polytask.training.resuming import Opened, check_same_data, new_record, open_run
from polytask.training.scores import Scores, score
from polytask.training.sources import Before, Data, Prepared, encode_held_out, prepare, read_sources, warn_unseen
from polytask.training.trainer import Trained, launch, train_model


class Learner:
    """One model for several tasks.

    Every choice is an instance, a name of ``polytask list``, or a mapping ``{"name": ..., field: value}``.

    :param tasks: what to predict; mappings name their ``kind``.
    :param encoder: turns a row into a vector.
    :param sharing: what the tasks share of it.
    :param balancer: how much say each task has in an update. The default weighs equally losses that are measured in
        units of the best constant predictor.
    :param sampler: how batches are drawn when there are several sources.
    :param training: the budget, the optimizer, and how the best epoch is chosen.
    :param schema: how columns become numbers.
    :param features: the only columns to learn from; default: all but targets and ``exclude``.
    :param exclude: columns that are no features: identifiers, and whatever would not be known at prediction.
    :param distillation: learn from teachers too, such as models of the single tasks.
    :param init_from: folder of a saved model to start from: what it knows of columns and labels is taken over, and its
        weights where they fit.
    :param seed: overrides ``training.seed``.

    >>> from polytask.tasks import Binary
    >>> learner = Learner([Binary("rain")], training={"epochs": 2})
    >>> frame = {"cloud": [0.1, 0.9, 0.8, 0.2] * 8, "rain": [0, 1, 1, 0] * 8}
    >>> learner.fit(frame).predict({"cloud": [0.5]}).columns
    ['rain', 'rain_probability']
    """

    def __init__(
        self,
        tasks: Sequence[Task | Mapping[str, Any]],
        *,
        encoder: Encoder | Spec = "mlp",
        sharing: Sharing | Spec = "hard",
        balancer: Method | Spec = "equal",
        sampler: Sampler | Spec = "proportional",
        training: TrainingOptions | Mapping[str, Any] | None = None,
        schema: SchemaOptions | Mapping[str, Any] | None = None,
        features: Sequence[str] = (),
        exclude: Sequence[str] = (),
        distillation: Distillation | Mapping[str, Any] | None = None,
        init_from: str | Path = "",
        seed: int | None = None,
    ) -> None:
        self.config = LearnerConfig.build(
            tasks,
            encoder=encoder,
            sharing=sharing,
            balancer=balancer,
            sampler=sampler,
            training=training,
            schema=schema,
            features=features,
            exclude=exclude,
            distillation=distillation,
            init_from=str(init_from),
            seed=seed,
        )
        self.forgetting: Forgetting | None = None
        self._fitted: Fitted | None = None

    @classmethod
    def from_config(cls, config: LearnerConfig, fitted: Fitted | None = None) -> Learner:
        """A learner from its resolved configuration, and from parts that were trained elsewhere."""
        learner = cls.__new__(cls)
        learner.config = config
        learner.forgetting = None
        learner._fitted = fitted
        return learner

    def fit(
        self,
        train: Data,
        validation: Data | None = None,
        *,
        test: Data | None = None,
        run: str | Path | None = None,
        overwrite: bool = False,
        storage: str | Path | None = None,
        listeners: Sequence[Listener] = (),
    ) -> Learner:
        """Learn from a table, or from several: ``{"name": table}``, one per task or group of tasks.

        Any target may be missing in any row, or in a whole source.

        :param train: a path (CSV, TSV, Parquet, Arrow), a polars or pandas frame, a dict of arrays, or a dict of these.
        :param validation: likewise; default: a share of the training rows, drawn by the seed.
        :param test: likewise; nothing is learned or chosen by it. A table that :meth:`evaluate` would refuse after the
            training is refused before it.
        :param run: folder for records and checkpoints; a run that was killed goes on with :func:`resume`.
        :param overwrite: replace an earlier run there.
        :param storage: folder for memory-mapped encoded rows, for tables larger than memory (Parquet is best).
        :param listeners: called with every event of :mod:`polytask.training.events`.
        :returns: itself.
        :raises polytask.errors.DataError: a table that cannot be used.
        :raises polytask.errors.TaskError: labels that cannot be learned from.
        :raises polytask.errors.TrainingError: a loss was not finite too often in a row.
        """
        fabric = launch(self.config.recipe.options)
        if run is not None and fabric.is_global_zero:
            refuse_existing(path_of(run), overwrite=overwrite)
        text = self.config.schema.categorical
        read_side = partial(read_sources, lazy=storage is not None, text=text, tasks=self.config.tasks)
        frames = read_side(train)
        held_out = None if validation is None else read_side(validation)
        prepared = self._prepare(frames, held_out, None if storage is None else Path(storage))
        if test is not None:
            judges = read_sources(test, text=prepared.schema.categories, tasks=self.config.tasks)
            encode_held_out(judges, prepared.schema, prepared.targets, "the test table", warn=False)
        if run is None:
            return self._learn(prepared, None, listeners, fabric)
        record = new_record(self.config, prepared, (train, frames), (validation, held_out))
        if fabric.is_global_zero:  # not earlier: a table that cannot be used must not cost the run it would replace
            RunFolder.create(run, overwrite=overwrite)
            record.write(path_of(run))
        return self._learn(prepared, path_of(run), (*listeners, RunFiles(path_of(run), record)), fabric)

    def evaluate(self, test: Data) -> Scores:
        """Every metric of every task on a table with labels; a task without labels there has NaN.

        :raises polytask.errors.UserError: the learner is not fitted.
        :raises polytask.errors.DataError: a table that cannot be used.
        """
        fitted = self.fitted
        frames = read_sources(test, text=fitted.schema.categories, tasks=self.config.tasks)
        unseen = warn_unseen(fitted.targets, frames, "the test table")
        table = Table.encode(frames, fitted.schema, fitted.targets)
        outputs = routed_outputs(fitted.parts, table)
        labels = {name: table.labels(name) for name in outputs}
        order = {task.name: i for i, task in enumerate(self.config.tasks)}
        scores = score(sorted(fitted.targets, key=lambda t: order[t.task.name]), outputs, labels, unseen)
        self._fitted = replace(fitted, test_scores=scores)
        return scores

    def predict(self, frame: Data, *, auxiliary: bool = False) -> Any:
        """Predictions with probabilities or intervals, a row per row, in the same order.

        :param frame: as for :meth:`fit`; columns in any order, label columns may be absent. For models of texts also a
            list of strings.
        :param auxiliary: also predict auxiliary tasks.
        :returns: a pandas frame with the same index for a pandas frame, else a polars frame.
        :raises polytask.errors.UserError: the learner is not fitted.
        :raises polytask.errors.DataError: a feature column is missing, or a table that cannot be used.
        """
        fitted = self.fitted
        if isinstance(frame, list):
            frame = pl.DataFrame({"text": frame}, schema={"text": pl.String})
        table = read(frame, text=fitted.schema.categories)
        encoded = Table.encode({"table": table}, fitted.schema, ())
        words = words_of(fitted.schema, table)
        outputs = routed_outputs(fitted.parts, encoded)
        by_name = {target.task.name: target for target in fitted.targets}
        presented: dict[str, Mapping[str, Any]] = {}
        for task in self.config.tasks:
            if task.name in by_name and (auxiliary or task.role == "primary"):
                target = by_name[task.name]
                presented[task.name] = presented_by(target, outputs[task.name], words)
        return like(frame, side_by_side(presented))

    def add_task(
        self,
        task: Task | Mapping[str, Any],
        train: Data,
        validation: Data | None = None,
        *,
        how: How = "frozen",
        test: Data | None = None,
        training: TrainingOptions | Mapping[str, Any] | None = None,
    ) -> Learner:
        """Teach a fitted learner one more task; the learner itself stays as it is.

        :param task: the new task.
        :param train: rows with its label, in the columns that the learner knows. :param validation: likewise.
        :param how: ``"frozen"``: only what belongs to the new task is learned, and no other task changes;
            ``"lora"``: the same, and low-rank matrices of the new task vary the trunk (hard sharing only; Hu et al.
            LoRA. ICLR 2022); ``"full"``: everything goes on learning, on the new labels and on those of old tasks that
            ``train`` has. Without any, the old tasks are forgotten as far as the trunk moves.
        :param test: rows with labels of the old tasks: their scores before and after are the ``forgetting`` of the
            new learner.
        :param training: options of this training; default: those of the learner.
        :returns: a learner with all tasks.
        :raises polytask.errors.TaskError: the task is there already, or none can be added to this way of sharing.
        """
        fitted, recipe = self.fitted, self.config.recipe
        if len(fitted.parts) > 1:
            raise UserError(
                f"this learner has {len(fitted.parts)} models; a task can be added to one.",
                do="Train with keep: one, or begin with a learner of the tasks of one model.",
            )
        new = TASKS.build(task, where="task")
        if training is not None:
            recipe = replace(recipe, options=options_of(training))
        read_side = partial(read_sources, text=fitted.schema.categories, tasks=(*self.config.tasks, new))
        rows = Sides(read_side(train), None if validation is None else read_side(validation))
        part = with_task(fitted.parts[0], fitted.schema, new, rows, recipe, how=how)
        recipe = replace(self.config.recipe, sharing=part.sharing)
        config = replace(self.config, tasks=(*self.config.tasks, new), recipe=recipe)
        learner = Learner.from_config(config, Fitted(fitted.schema, (part,)))
        if test is not None:
            learner.forgetting = Forgetting(self.evaluate(test), learner.evaluate(test))
        return learner

    def save(self, folder: str | Path, *, auxiliary: bool = False, overwrite: bool = False) -> Path:
        """Write the artefact: configuration, schema, weights, scores and a model card, in one folder.

        :param auxiliary: keep auxiliary tasks.
        :param overwrite: replace an artefact that is there.
        :raises polytask.errors.RunError: the folder exists, or cannot be written.
        """
        fitted = self.fitted
        artefact = Artefact(
            self.config,
            fitted.schema,
            fitted.parts,
            fitted.history,
            fitted.best_epoch,
            fitted.best_epoch_per_task,
            fitted.test_scores,
            fitted.verdicts,
        )
        return write_artefact(artefact, path_of(folder), auxiliary=auxiliary, overwrite=overwrite)

    @property
    def fitted(self) -> Fitted:
        """What training left.

        :raises polytask.errors.UserError: the learner is not fitted.
        """
        if self._fitted is None:
            raise UserError(
                "the learner is not fitted.",
                do="Call learner.fit(train) first, or load a saved one with polytask.load(folder).",
            )
        return self._fitted

    @property
    def history(self) -> tuple[EpochRecord, ...]:
        """One record per epoch: losses, metrics, gains and weights by task."""
        return self.fitted.history

    @property
    def best_epoch(self) -> int:
        """The epoch of the best mean gain over primary tasks, from 1."""
        return self.fitted.best_epoch

    @property
    def best_epoch_per_task(self) -> dict[str, int]:
        """The best epoch of each task, from 1."""
        return dict(self.fitted.best_epoch_per_task)

    def __repr__(self) -> str:
        tasks = ", ".join(task.name for task in self.config.tasks)
        return f"Learner({tasks}; {'fitted' if self._fitted else 'not fitted'})"

    def _prepare(
        self, frames: Mapping[str, Frame], validation: Mapping[str, Frame] | None, storage: Path | None
    ) -> Prepared:
        options, start = self.config.recipe.options, self.config.recipe.init_from
        return prepare(
            self.config.tasks,
            frames,
            validation,
            _known(Path(start)) if start else self.config.schema,
            exclude=self.config.exclude,
            features=self.config.features,
            fraction=options.validation_fraction,
            seed=options.seed,
            storage=storage,
            tokenizer=self.config.recipe.encoder.tokenizer(),
        )

    def _learn(
        self,
        prepared: Prepared,
        run: Path | None,
        listeners: Sequence[Listener],
        fabric: Fabric | None = None,
        *,
        stop_here: bool = False,
    ) -> Learner:
        trained: Trained = train_model(
            prepared.train,
            prepared.schema.spec,
            prepared.targets,
            self.config.recipe,
            validation=prepared.validation,
            listeners=listeners,
            run=run,
            fabric=fabric,
            stop_here=stop_here,
        )
        self._fitted = Fitted(
            prepared.schema, trained.parts, trained.history, trained.best_epoch, trained.best_epoch_per_task
        )
        return self


def _known(folder: Path) -> Before:
    """What a saved model knows of tables and labels."""
    artefact = read_artefact(artefact_in(folder))
    return Before(artefact.schema, {t.task.name: t for part in artefact.parts for t in part.targets})


def resume(
    run: str | Path,
    train: Data | None = None,
    validation: Data | None = None,
    *,
    storage: str | Path | None = None,
    listeners: Sequence[Listener] = (),
    stop_here: bool = False,
) -> Learner:
    """Go on with a run that was killed: the same final weights, bit for bit on a CPU, as without the kill.

    :param run: its folder.
    :param train: the same data again; default: the files that the run read, if it read files.
    :param stop_here: train no further: the model of the best epoch so far, of a run that went astray or is good enough.
    :raises polytask.errors.RunError: no run there, or the data have changed.
    """
    opened: Opened = open_run(path_of(run), train, validation, lazy=storage is not None)
    learner = Learner.from_config(opened.config)
    prepared = learner._prepare(opened.train, opened.validation, None if storage is None else Path(storage))
    check_same_data(path_of(run), opened.record, prepared)
    files = RunFiles(path_of(run), opened.record)
    return learner._learn(prepared, path_of(run), (*listeners, files), stop_here=stop_here)


def load(folder: str | Path, *, trust: bool = False) -> Learner:
    """A fitted learner from the folder that :meth:`Learner.save` wrote. Reading it executes nothing.

    :param trust: also import third-party classes that the artefact names, which runs their code.
    :raises polytask.errors.RunError: missing, damaged, or written by a newer version.
    """
    artefact = read_artefact(path_of(folder), trust=trust)
    fitted = Fitted(
        artefact.schema,
        artefact.parts,
        artefact.history,
        artefact.best_epoch,
        artefact.best_epoch_per_task,
        artefact.scores,
        artefact.verdicts,
    )
    return Learner.from_config(artefact.config, fitted)
