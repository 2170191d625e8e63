"""Did sharing help, for which task, at what cost? The study that answers it."""

from __future__ import annotations

import dataclasses
import datetime
import io
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from polytask.data.splits.split import Split
from polytask.evaluation.verdict import STATEMENT
from polytask.record.compare import COMPARE_FILE, CompareRecord
from polytask.record.folder import RunFolder, path_of, refuse_existing, refuse_unwritable, whole_folder
from polytask.studies import facts
from polytask.studies.act import decide, in_words, keep
from polytask.studies.contenders import MULTI, SINGLE, line_up
from polytask.studies.execute import Say, execute
from polytask.studies.options import CompareOptions
from polytask.studies.preparation import data_facts, prepare_problem, read_sides
from polytask.studies.resplit import repeated_splits
from polytask.tasks.task import Array
from polytask.training.learner import Learner
from polytask.training.sources import Data

MODEL = "model"
ROW_SCORES = "row_scores.npz"


def compare(
    learner: Learner,
    train: Data,
    *,
    validation: Data | None = None,
    test: Data | None = None,
    split: Split | None = None,
    seeds: int | None = None,
    options: CompareOptions | None = None,
    others: Mapping[str, Learner] | None = None,
    run: str | Path | None = None,
    overwrite: bool = False,
    title: str = "",
    command: str | None = None,
    say: Say | None = None,
) -> CompareRecord:
    """Train the learner's model, the same tasks alone, and others, over seeds; judge every task.

    :param learner: what is asked about; it need not be fitted and is not changed.
    :param train: a table, or ``{"name": table}`` for several sources.
    :param validation: rows that choose checkpoints; default: a part of the training rows, drawn by each seed.
    :param test: rows that judge and do nothing else; default: the test part of ``split``.
    :param split: how ``train`` is split when there is no ``test``; default: 20 % of the rows at random.
    :param seeds: shorthand for ``options.seeds``.
    :param others: name -> learner: further multi-task models to compare.
    :param run: folder for the record (``compare.json``), the row scores, and the model (``model/``).
    :param say: told about progress.
    :raises polytask.errors.UserError: anything that was handed over and cannot be used.

    >>> record = compare(learner, "people.csv", seeds=5)                                    # doctest: +SKIP
    """
    options = options or CompareOptions()
    options = options if seeds is None else dataclasses.replace(options, seeds=seeds)
    contenders = line_up(
        learner.config.tasks,
        learner.config.recipe,
        {name: other.config.recipe for name, other in (others or {}).items()},
        options,
    )
    if run is not None:
        refuse_existing(path_of(run), overwrite=overwrite)
        refuse_unwritable(path_of(run))
    training = learner.config.recipe.options
    sides = read_sides(learner, train, validation, test, split)
    problem, schema = prepare_problem(learner, sides, shared_validation=options.act)
    many = len(problem.tasks) > 1
    results = execute(
        problem,
        contenders,
        range(training.seed, training.seed + options.seeds),
        fraction=training.validation_fraction,
        matched_to=MULTI if many else None,
        say=say,
    )
    paired = facts.paired_scores(problem, results, SINGLE, margin=options.margin)
    decision = decide(problem, results, SINGLE, MULTI) if options.act and many else None
    record = CompareRecord(
        title=title or "Comparison",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        statement=STATEMENT,
        data=data_facts(sides, problem, training.validation_fraction, schema.names),
        tasks=facts.task_facts(problem, results),
        seeds=results.seeds,
        baseline=SINGLE,
        contenders=facts.contender_facts(results, options.primary),
        scores=facts.score_facts(problem, results),
        verdicts=facts.verdict_facts(problem, results, paired, options.primary),
        delta_m=facts.delta_facts(problem, results, SINGLE),
        mean_rank=facts.rank_facts(problem, results),
        costs=facts.cost_facts(problem, results),
        curves=facts.curve_facts(results),
        weights=facts.weight_facts(results),
        gradients=facts.gradient_facts(results),
        diagnostics=facts.diagnostic_facts(problem, results),
        acted=decision.fallen_back if decision is not None else None,
        skipped=facts.skipped_facts(results),
        splits=repeated_splits(learner, sides, contenders, options.splits, say=say) if options.splits else (),
        command=command,
        versions=versions(),
    )
    if run is not None:
        model = keep(
            learner,
            schema,
            results,
            baseline=SINGLE,
            contender=MULTI if many else SINGLE,
            decision=decision,
            verdicts=in_words(record, MULTI),
        )
        model.evaluate(sides.test)
        with whole_folder(run, overwrite=overwrite) as folder:  # not earlier: an old comparison outlives a failed one
            _write(RunFolder(folder), record, facts.row_scores(problem, results), model)
    return record


def _write(folder: RunFolder, record: CompareRecord, rows: Mapping[str, Array], model: Learner) -> None:
    """The record last: a folder that has one is whole."""
    model.save(folder / MODEL)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **rows)
    folder.write_bytes(ROW_SCORES, buffer.getvalue())
    folder.write_text(COMPARE_FILE, record.to_json())


def versions() -> dict[str, str]:
    """What the numbers were computed with."""
    return {
        "polytask": version("polytask"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(terse=True),
    }
