"""How often are verdicts wrong, and how much do they see? Repeats the calibration of ``polytask.evaluation``.

    python benchmarks/verdicts.py --families 4000             # simulated families, a few minutes on one core
    python benchmarks/verdicts.py --families 0 --nhanes F.npz  # A/A groups of real single-task runs

Simulated: families of T tasks, S seeds per side, 200 test rows; v is the seed variance of one run over the row
variance of the mean difference (1 to 13 on a health survey, typically 4), and 1/F of it is independent
row noise. Real: ``F.npz`` holds one array of row scores ``(seeds, n)`` per task; random disjoint groups
of S against S seeds of the same method are compared on resampled rows, so every verdict is false.

Every table prints percent with the Monte-Carlo standard error. Nominal: 5 % false alarms, 95 % coverage.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polytask.evaluation.variance import Parts, parts, pool
from polytask.maths.holm import holm
from polytask.maths.tails import two_sided_p

Array = NDArray[np.float64]

ALPHA = 0.05
ROWS = 200
EFFECTS = (2, 3, 4, 5)  # true differences in units of their standard error
CHUNK = 2_000_000  # scores per chunk of families


@dataclass(frozen=True)
class Cell:
    """One setting: T tasks, S seeds per side, v, and the true F of every task."""

    tasks: int
    seeds: int
    v: float
    ratio: float = 2.0

    @property
    def se(self) -> float:
        """True standard error of a difference."""
        return float(np.sqrt(2 * self.v / self.seeds + 1))


def rate(hits: NDArray[np.bool_]) -> str:
    """Percent and its standard error, families (axis 0) being independent."""
    per_family = hits.reshape(len(hits), -1).mean(1)
    error = per_family.std() / np.sqrt(len(per_family))
    return f"{100 * per_family.mean():.1f} ± {100 * error:.1f}"


def any_verdict(p: Array) -> NDArray[np.bool_]:
    """Families with at least one verdict after Holm."""
    return np.asarray((holm(p) < ALPHA).any(-1))


def simulate(cell: Cell, families: int, rng: np.random.Generator) -> Parts:
    """Raw parts ``(families, T)`` of families without any true difference."""
    size = 2 * cell.tasks * cell.seeds * ROWS
    return _joined([parts(*draw(cell, count, rng)) for count in _chunks(families, max(1, CHUNK // size))])


def draw(cell: Cell, families: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Row scores of both sides, ``(families, T, S, n)``; the mean difference has row variance 1."""
    shape = (families, cell.tasks, cell.seeds, ROWS)
    shift, noise = np.sqrt(cell.v * (1 - 1 / cell.ratio)), np.sqrt(ROWS * cell.v / cell.ratio)
    sides = []
    for _ in range(2):
        scores = rng.standard_normal(shape)
        scores *= noise
        scores += shift * rng.standard_normal((*shape[:3], 1))
        sides.append(scores)
    sides[1] += np.sqrt(ROWS) * rng.standard_normal((*shape[:2], 1, ROWS))
    return sides[0], sides[1]


def judge(raw: Parts, shift: float = 0.0) -> Array:
    """p-values ``(families, T)`` when every true difference is ``shift`` (the variances do not depend on it)."""
    pooled = pool(raw)
    return two_sided_p(raw.estimate + shift, pooled.seeds, pooled.rows, pooled.nu)


def rows_only(raw: Parts) -> Array:
    """p-values of the usual practice: a normal test over test rows, as if the trained models were the methods.

    Vr + Ve is the observed row variance of the mean difference (Ve where that is larger).
    """
    return two_sided_p(raw.estimate, 0.0, raw.rows + raw.noise, 1.0)


def simulated_tables(families: int, ratio: float, rng: np.random.Generator) -> Iterator[str]:
    """Markdown lines: false alarms, coverage and power."""
    yield "| T | v | S | false alarms per task % | family-wise % | coverage % | rows only: family-wise % |"
    yield "|---|---|---|---|---|---|---|"
    kept: dict[int, Parts] = {}
    for cell in (Cell(t, s, v, ratio) for t in (1, 2, 8) for v in (0.1, 4.0, 15.0) for s in (2, 3, 5, 10)):
        raw = simulate(cell, families, rng)
        if cell.tasks == 8 and cell.v == 4:
            kept[cell.seeds] = raw
        p = judge(raw)
        yield (
            f"| {cell.tasks} | {cell.v:g} | {cell.seeds} | {rate(p < ALPHA)} | {rate(any_verdict(p))} "
            f"| {rate(p >= ALPHA)} | {rate(any_verdict(rows_only(raw)))} |"
        )
    yield ""
    yield "| S | " + " | ".join(f"Holm power at {k} SE %" for k in EFFECTS) + " | (T = 8, v = 4)"
    yield "|---" * (len(EFFECTS) + 1) + "|"
    for seeds, raw in kept.items():
        powers = [rate(holm(judge(raw, k * Cell(8, seeds, 4.0).se)) < ALPHA) for k in EFFECTS]
        yield f"| {seeds} | " + " | ".join(powers) + " |"


def real_tables(scores: Mapping[str, Array], draws: int, rng: np.random.Generator) -> Iterator[str]:
    """Markdown lines: A/A groups of real runs, where every verdict is false."""
    pooled_seeds = min(len(runs) for runs in scores.values())
    yield f"{len(scores)} tasks, {pooled_seeds} seeds, {draws} draws"
    yield ""
    yield "| S | false alarms per task % | worst task % | family-wise % | rows only: per task % | family-wise % |"
    yield "|---|---|---|---|---|---|"
    for seeds in (s for s in (2, 3, 5, 10) if 2 * s <= pooled_seeds):
        raw = _joined([_regrouped(scores, seeds, rng) for _ in range(draws)])
        p, control = judge(raw), rows_only(raw)
        worst = int(np.argmax((p < ALPHA).mean(0)))
        yield (
            f"| {seeds} | {rate(p < ALPHA)} | {rate(p[:, [worst]] < ALPHA)} ({list(scores)[worst]}) "
            f"| {rate(any_verdict(p))} | {rate(control < ALPHA)} | {rate(any_verdict(control))} |"
        )


def _regrouped(scores: Mapping[str, Array], seeds: int, rng: np.random.Generator) -> Parts:
    """Parts ``(1, T)`` of one random pair of disjoint groups of seeds, on resampled rows."""
    found = []
    for runs in scores.values():
        order = rng.permutation(len(runs))[: 2 * seeds]
        rows = rng.integers(0, runs.shape[1], runs.shape[1])
        picked = runs[order][:, rows]
        found.append(parts(picked[:seeds], picked[seeds:]))
    return Parts(*(np.array([[getattr(f, name) for f in found]]) for name in _FIELDS))


_FIELDS = ("estimate", "seeds", "noise", "rows", "df")


def _joined(several: list[Parts]) -> Parts:
    return Parts(*(np.concatenate([getattr(p, name) for p in several]) for name in _FIELDS))


def _chunks(total: int, size: int) -> Iterator[int]:
    for start in range(0, total, size):
        yield min(size, total - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", type=int, default=4000, help="simulated families per cell; 0 leaves them out")
    parser.add_argument("--ratio", type=float, default=2.0, help="true F of the simulated tasks, at least 1")
    parser.add_argument("--nhanes", help="npz with row scores (seeds, n) per task, for the A/A groups")
    parser.add_argument("--draws", type=int, default=400, help="A/A groups per number of seeds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    rng = np.random.default_rng(options.seed)
    print(f"families {options.families}, F {options.ratio:g}, draws {options.draws}, seed {options.seed}")
    print("percent ± Monte-Carlo error\n")
    if options.families:
        for line in simulated_tables(options.families, options.ratio, rng):
            print(line, flush=True)
    if options.nhanes:
        with np.load(options.nhanes) as stored:
            scores = {name: np.asarray(stored[name], np.float64) for name in stored.files}
        for line in real_tables(scores, options.draws, rng):
            print(line, flush=True)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
