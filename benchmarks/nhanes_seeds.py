"""Train the single-task models of the health survey with many seeds and keep their row scores.

    python benchmarks/nhanes_seeds.py --seeds 60 --out nhanes_rows.npz
    python benchmarks/verdicts.py --nhanes nhanes_rows.npz

The file holds one array per task, ``(seeds, test rows)``. Groups of these seeds against other groups of these seeds are
A/A comparisons: any verdict between them is a false alarm.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from polytask import datasets
from polytask.data.splits.random import Random
from polytask.studies.contenders import SINGLE, line_up
from polytask.studies.execute import execute
from polytask.studies.options import CompareOptions
from polytask.studies.preparation import prepare_problem, read_sides
from polytask.training.learner import Learner


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("nhanes_rows.npz"))
    chosen = parser.parse_args()

    survey = datasets.load("nhanes")
    learner = Learner(survey.tasks, features=survey.features, training={"threads": 1})
    sides = read_sides(learner, survey.frame, None, None, Random(validation=0.0, test=0.35))
    problem, _ = prepare_problem(learner, sides)
    single = line_up(learner.config.tasks, learner.config.recipe, {}, CompareOptions())[0]
    fraction = learner.config.recipe.options.validation_fraction

    def say(what: str, done: int, total: int) -> None:
        if done % (10 * len(single.groups)) == 0:
            print(f"{done} of {total} models", file=sys.stderr)

    results = execute(problem, (single,), range(chosen.seeds), fraction=fraction, say=say)
    rows = {task: np.stack([s.rows for s in results.scores(SINGLE, task)]) for task in problem.tasks}
    np.savez_compressed(chosen.out, allow_pickle=False, **rows)
    print(f"{chosen.out}: {chosen.seeds} seeds, {len(rows)} tasks")


if __name__ == "__main__":
    main()
