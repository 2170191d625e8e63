"""What a balancer costs in training: time of an optimizer step over that of equal weights, on the health survey.

    OMP_NUM_THREADS=1 python benchmarks/balancing_training.py

Every contender of ``examples/balancing.yaml`` takes some steps in turn, round after round, in one process. The time is
processor time of that process (one thread), so that a busy machine does not decide; it includes whatever the balancer
does in a step and leaves out validation. Printed: medians of the rounds' ratios, their range, and milliseconds.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from polytask.app.reading import read_config
from polytask.app.rows import open_rows
from polytask.studies.preparation import prepare_problem, read_sides
from polytask.studies.problem import Problem
from polytask.training.events import Event, StepDone
from polytask.training.learner import Learner
from polytask.training.recipe import Recipe
from polytask.training.trainer import train_model

EXAMPLE = Path(__file__).parents[1] / "examples" / "balancing.yaml"
WARM = 10
"""Steps before the clock counts."""


class Clock:
    """Keeps the processor time between steps."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        now = time.process_time()
        if isinstance(event, StepDone):
            self.times.append(now - self._last)
        self._last = now


def seconds(recipe: Recipe, problem: Problem, steps: int, seed: int) -> float:
    """Median time of a step."""
    clock = Clock()
    options = replace(recipe.options, max_steps=steps + WARM, epochs=10_000, patience=0, threads=1)
    own = replace(recipe, options=options)
    train_model(problem.train, problem.spec, problem.targets, own, seed=seed, listeners=[clock])
    return median(clock.times[WARM:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    opened = open_rows(read_config(EXAMPLE))
    learner = Learner.from_config(opened.learner)
    problem, _ = prepare_problem(
        learner, read_sides(learner, opened.train, opened.validation, opened.test, opened.split)
    )
    recipes = {"equal": opened.learner.recipe} | {name: other.recipe for name, other in opened.others.items()}
    found: dict[str, list[float]] = {name: [] for name in recipes}
    for seed in range(chosen.rounds):
        for name, recipe in recipes.items():
            found[name].append(seconds(recipe, problem, chosen.steps, seed))
    print(f"{len(problem.targets)} tasks; {chosen.rounds} rounds of {chosen.steps} steps\n")
    print("| balancer | over equal | range | ms |\n|---|---|---|---|")
    for name, times in found.items():
        ratios = [own / equal for own, equal in zip(times, found["equal"], strict=True)]
        print(f"| {name} | {median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f} | {1000 * median(times):.1f} |")


if __name__ == "__main__":
    main()
