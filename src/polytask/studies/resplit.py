"""The comparison again over random splits, to speak about other training samples too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from polytask.data.division import split
from polytask.data.splits.random import Random
from polytask.evaluation.resplit import SplitScores, split_verdicts
from polytask.record.compare import SplitFacts
from polytask.studies.execute import Say, execute
from polytask.studies.preparation import Sides, prepare_problem
from polytask.studies.trainer import Contender
from polytask.training.learner import Learner


def repeated_splits(
    learner: Learner, sides: Sides, contenders: Sequence[Contender], splits: int, *, say: Say | None = None
) -> tuple[SplitFacts, ...]:
    """Verdicts over random splits of all rows in the same shares, one seed each. The first contender is the baseline.

    Nadeau, Bengio. Inference for the Generalization Error. Machine Learning 2003.
    """
    whole = _whole(sides)
    share = sum(f.height for f in sides.test.values()) / sum(f.height for f in whole.values())
    judged = [contender for contender in contenders[1:] if contender.judged]
    values: dict[tuple[str, str], list[float]] = {}
    rows: dict[str, tuple[int, int]] = {}
    for j in range(splits):
        problem, _ = prepare_problem(learner, _redrawn(whole, share, seed=j))
        fraction = learner.config.recipe.options.validation_fraction
        results = execute(problem, (contenders[0], *judged), (j,), fraction=fraction, say=_told(say, j, splits))
        train = problem.train.labelled_counts()
        for target in problem.primary:
            task = target.task.name
            for contender in (contenders[0], *judged):
                score = results.scores(contender.name, task)[0]
                values.setdefault((contender.name, task), []).append(score.value)
                rows[task] = (train[task], score.n)
    metrics = {target.task.name: target.task.main_metric for target in problem.primary}
    found: list[SplitFacts] = []
    for contender in judged:
        scores = {
            task: SplitScores(
                values[contenders[0].name, task],
                values[contender.name, task],
                metric.higher_is_better,
                train_rows=rows[task][0],
                test_rows=rows[task][1],
                best=metric.best,
            )
            for task, metric in metrics.items()
        }
        for task, v in split_verdicts(scores).items():
            found.append(
                SplitFacts(
                    contender=contender.name,
                    task=task,
                    metric=metrics[task].name,
                    verdict="no verdict" if v.verdict == "withheld" else v.verdict,
                    splits=v.splits,
                    estimate=v.estimate,
                    interval=v.interval,
                    p=v.p,
                    p_holm=v.p_holm,
                    relative_gain=v.relative_gain,
                    relative_interval=v.relative_interval,
                    note=v.note,
                )
            )
    return tuple(found)


def _whole(sides: Sides) -> dict[str, pl.DataFrame]:
    """Training and test rows together, source by source."""
    names = list(dict.fromkeys([*sides.train, *sides.test]))
    parts = {name: [side[name] for side in (sides.train, sides.test) if name in side] for name in names}
    return {name: pl.concat(frames, how="diagonal_relaxed") for name, frames in parts.items()}


def _redrawn(whole: Mapping[str, pl.DataFrame], share: float, *, seed: int) -> Sides:
    drawn = {name: split(frame, Random(validation=0.0, test=share), seed) for name, frame in whole.items()}
    return Sides(
        {name: frame[drawn[name]["train"]] for name, frame in whole.items()},
        None,
        {name: frame[drawn[name]["test"]] for name, frame in whole.items()},
    )


def _told(say: Say | None, split: int, splits: int) -> Say | None:
    if say is None:
        return None
    told = say

    def tell(what: str, done: int, total: int) -> None:
        told(f"split {split + 1} of {splits}, {what}", split * total + done, splits * total)

    return tell
