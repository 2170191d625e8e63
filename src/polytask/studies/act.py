"""Acting on a comparison: tasks that sharing hurt fall back to their single-task model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from polytask.data.saved import AnySchema
from polytask.errors import plural
from polytask.evaluation.verdict import verdicts
from polytask.record.compare import CompareRecord
from polytask.studies.execute import Results, SeedRun
from polytask.studies.facts import paired_scores
from polytask.studies.network import FittedNetwork
from polytask.studies.problem import Problem
from polytask.training.fitted import Fitted
from polytask.training.learner import Learner
from polytask.training.parts import Part


@dataclass(frozen=True)
class Decision:
    """Which tasks fall back, by the verdicts on validation rows that all seeds shared.

    :param fallen_back: tasks that are answered by their single-task model.
    """

    fallen_back: tuple[str, ...]


def decide(problem: Problem, results: Results, baseline: str, contender: str) -> Decision:
    """The tasks that the contender hurt on the shared validation rows. The test rows have no say."""
    found = verdicts(paired_scores(problem, results, baseline, decision=True)[contender])
    return Decision(tuple(task for task, verdict in found.items() if verdict.verdict == "hurt"))


def keep(
    learner: Learner,
    schema: AnySchema,
    results: Results,
    *,
    baseline: str,
    contender: str,
    decision: Decision | None,
    verdicts: Mapping[str, str],
) -> Learner:
    """A fitted learner with the models of the seed that did best on its validation rows.

    With a decision, tasks that fall back are answered by the single-task model of its best seed.

    :param verdicts: task -> what was found, in words; for the model card.
    """
    best = results.best(contender)
    back = set(decision.fallen_back) if decision is not None else set()
    kept = [narrowed for part in _parts(best) if (narrowed := _without(part, back)) is not None]
    for part in _parts(results.best(baseline)) if back else ():
        if set(part.tasks) <= back:
            kept.append(dataclasses.replace(part, name=f"single-{len(kept)}"))
    history = best.models[0].history if len(best.models) == 1 else ()
    epochs = {task: epoch for model in best.models for task, epoch in model.best_epochs.items()}
    first = best.models[0]
    best_epoch = first.trained.best_epoch if isinstance(first, FittedNetwork) else 0
    fitted = Fitted(schema, tuple(kept), tuple(history), best_epoch, epochs, verdicts=verdicts)
    return Learner.from_config(learner.config, fitted)


def in_words(record: CompareRecord, contender: str) -> dict[str, str]:
    """Task -> the verdict on a contender, with its numbers and where the task is answered from."""
    found = {}
    for v in record.verdicts:
        if v.contender == contender:
            low, high = v.interval
            text = f"{v.verdict} against single-task training: {v.metric} {v.estimate:+.4g} [{low:+.4g}, {high:+.4g}], "
            text += f"positive = better; {plural(v.seeds, 'seed')}, {plural(v.rows, 'test row')}"
            back = record.acted is not None and v.task in record.acted
            found[v.task] = text + ("; answered by its single-task model here" if back else "")
    return found


def _parts(run: SeedRun) -> list[Part]:
    return [part for model in run.models if isinstance(model, FittedNetwork) for part in model.parts]


def _without(part: Part, tasks: set[str]) -> Part | None:
    """A part that answers for fewer tasks; None when nothing is left."""
    targets = tuple(target for target in part.targets if target.task.name not in tasks)
    return dataclasses.replace(part, targets=targets) if targets else None
