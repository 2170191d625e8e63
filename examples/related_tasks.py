"""When do soft sharing and experts beat hard sharing? Two tasks whose relatedness is set by hand.

    python examples/related_tasks.py --out runs/related_tasks.html
    python examples/related_tasks.py --schemes all

The construction of the MMoE paper (Ma et al., KDD 2018): with orthonormal u1, u2,

    w1 = u1,   w2 = p u1 + sqrt(1 - p^2) u2,   y_k = w_k x + sum_i sin(a_i w_k x + b_i) + noise,   x ~ N(0, I),

so that cos(w1, w2) = p exactly. The paper leaves a_i and b_i open: here waves have a = 0.5, 1, ... and b = 0, 1, ...

In the paper every row has both labels. Two equal tasks then tell a network nothing that one of them would not: sharing
has nothing to give at p = 1. Here **each row has the label of one task**, drawn at random, as when data sets of related
tasks are put together; with p = 1 a shared network learns from twice the rows. ``--labels both`` is the paper's case.

Every scheme is trained for each p and seed on the same rows, with the same encoder and epochs, at several learning
rates; the rate with the best validation rows counts. The error is the mean squared distance to the true functions,
without noise, on fresh rows, mean of both tasks. With altair installed, ``--out`` draws it over p. Schemes with several
trunks have more parameters: ``hard_wide`` is hard sharing at four times the width, to tell what size alone does, and
``single_mtan`` (any scheme with ``single_`` before it) the same network trained on each task alone, to tell what its
layers do without any sharing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import polytask
from polytask.errors import MissingExtraError
from polytask.nets.sharing import SHARING

SCHEMES = ("single", "hard", "hard_wide", "soft", "mmoe", "cgc", "ple", "mtan")
NO_FUNNEL = "esmm"
"""The way of sharing that is for binary tasks along a funnel."""
TASKS = ("y1", "y2")


@dataclass(frozen=True)
class Result:
    """One training: a scheme at one cosine with one seed and learning rate.

    :param error: squared distance to the true functions on the test rows, mean of both tasks.
    :param gain: on the validation rows, over the constant predictor, mean of both tasks: it chooses the rate.
    :param seconds: of training, for both tasks together.
    :param parameters: of all models.
    """

    scheme: str
    cosine: float
    seed: int
    rate: float
    error: float
    gain: float
    seconds: float
    parameters: int


def directions(cosine: float, features: int, rng: np.random.Generator) -> np.ndarray:
    """``(2, features)``: two unit vectors with exactly this cosine."""
    basis, _ = np.linalg.qr(rng.normal(size=(features, 2)))
    return np.stack([basis[:, 0], cosine * basis[:, 0] + np.sqrt(1 - cosine**2) * basis[:, 1]])


def table(
    cosine: float, seed: int, rows: int, *, features: int = 50, waves: int = 5, noise: float = 0.1, labels: str = "both"
) -> pl.DataFrame:
    """Features x0, x1, ... and the labels y1, y2, with null where a row has no label.

    :param noise: its standard deviation.
    :param labels: whether rows have ``both`` labels or that of ``one`` task.
    """
    rng = np.random.default_rng(seed)
    frequency, phase = np.arange(1, waves + 1) / 2, np.arange(waves)
    w = directions(cosine, features, rng)
    x = rng.normal(size=(rows, features))
    along = x @ w.T
    y = along + np.sin(along[..., None] * frequency + phase).sum(-1) + noise * rng.normal(size=along.shape)
    if labels == "one":
        y[np.arange(rows), rng.integers(0, 2, rows)] = np.nan
    columns = {f"x{i}": x[:, i] for i in range(features)}
    found = pl.DataFrame(columns | {name: y[:, i] for i, name in enumerate(TASKS)})
    return found.with_columns(pl.col(TASKS).fill_nan(None))


def contender(scheme: str, width: int) -> tuple[str, bool, int]:
    """Its way of sharing, whether every task has a model of its own, and the width of its encoder."""
    if scheme == "hard_wide":
        return "hard", False, 4 * width
    if scheme == "single":
        return "hard", True, width
    return scheme.removeprefix("single_"), scheme.startswith("single_"), width


def run(scheme: str, cosine: float, seed: int, rate: float, options: argparse.Namespace) -> Result:
    """Train on the rows, choose the epoch on half as many, test on fresh ones."""
    kind = {"features": options.features, "waves": options.waves}
    noisy = kind | {"noise": options.noise, "labels": options.labels}
    rows = table(cosine, seed, options.rows * 3 // 2 + options.test, **noisy)
    truth = table(cosine, seed, len(rows), **kind, noise=0.0)  # the same features and directions
    train, validation = rows[: options.rows], rows[options.rows : options.rows * 3 // 2]
    test, true = rows[options.rows * 3 // 2 :], truth[options.rows * 3 // 2 :]
    way, is_single, width = contender(scheme, options.width)
    errors, gains, parameters, begin = [], [], 0, time.perf_counter()
    for names in [(name,) for name in TASKS] if is_single else [TASKS]:
        learner = polytask.Learner(
            [polytask.Regression(name, parents=TASKS[: names.index(name)]) for name in names],
            encoder={"name": "mlp", "width": width, "depth": 2, "dropout": 0.0},
            sharing=way,
            training=training(options, rate),
            exclude=[name for name in TASKS if name not in names],
            seed=seed,
        ).fit(*(part.filter(pl.any_horizontal(pl.col(names).is_not_null())) for part in (train, validation)))
        predicted = learner.predict(test)
        errors += [((predicted[name] - true[name]) ** 2).mean() for name in names]
        gains.append(max(epoch.gain for epoch in learner.history))
        parameters += sum(p.numel() for p in learner.fitted.parts[0].model.parameters())
    seconds = time.perf_counter() - begin
    return Result(scheme, cosine, seed, rate, float(np.mean(errors)), float(np.mean(gains)), seconds, parameters)


def training(options: argparse.Namespace, rate: float) -> dict[str, Any]:
    return {
        "epochs": options.epochs,
        "patience": 0,
        "lr": rate,
        "schedule": "cosine",
        "batch_size": options.batch,
        "threads": 1,
    }


def chosen(results: Sequence[Result]) -> list[Result]:
    """Of every scheme, cosine and seed the learning rate that did best on the validation rows."""
    best: dict[tuple[str, float, int], Result] = {}
    for result in results:
        key = (result.scheme, result.cosine, result.seed)
        if key not in best or result.gain > best[key].gain:
            best[key] = result
    return list(best.values())


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row per scheme and cosine, with the error over that of hard sharing and of a model per task."""
    best = chosen(results)
    groups: dict[tuple[str, float], list[Result]] = {}
    for result in best:
        groups.setdefault((result.scheme, result.cosine), []).append(result)
    return [{"scheme": scheme, "p": p, **_numbers(group, best)} for (scheme, p), group in groups.items()]


def _numbers(group: Sequence[Result], everything: Sequence[Result]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, reference in {"error": "", "over_hard": "hard", "over_single": "single"}.items():
        bases = {(r.cosine, r.seed): r.error for r in everything if r.scheme == reference}
        values = [r.error / (bases.get((r.cosine, r.seed), np.nan) if reference else 1.0) for r in group]
        found[name] = float(np.mean(values))
        found[f"{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return found | {"seconds": float(np.median([r.seconds for r in group])), "parameters": group[0].parameters}


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    names = ("error", "over_hard", "over_single")
    print(f"| {'scheme':16s} | p   | {'error':15s} | {'over hard':11s} | {'over single':11s} | seconds | parameters |")
    print("|---|---|---|---|---|---|---|")
    for r in rows:
        digits = {name: 3 if name == "error" else 2 for name in names}
        cells = [f"{r[name]:.{digits[name]}f} ± {r[name + '_sd']:.{digits[name]}f}" for name in names]
        cells = ["" if "nan" in cell else cell for cell in cells]
        scheme = f"`{r['scheme']}`"
        print(
            f"| {scheme:16s} | {r['p']:.1f} | {cells[0]:15s} | {cells[1]:11s} | {cells[2]:11s} "
            f"| {r['seconds']:7.1f} | {r['parameters']:10,d} |"
        )


def draw(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    try:
        import altair as alt
    except ImportError:
        raise MissingExtraError("altair", "report", "drawing the curves") from None
    chart = alt.Chart(alt.InlineData([dict(row) for row in rows]), width=480, height=320).encode(
        x=alt.X("p:Q", title="cosine of the tasks' directions"),
        y=alt.Y("error:Q", title="squared distance to the true functions", scale=alt.Scale(zero=False)),
        color=alt.Color("scheme:N", title=None),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    chart.mark_line(point=True).save(str(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemes", nargs="*", default=list(SCHEMES), help="'all' for every way of sharing")
    parser.add_argument("--cosines", nargs="*", type=float, default=[0.0, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", choices=("one", "both"), default="one", help="of how many tasks, for every row")
    parser.add_argument("--rows", type=int, default=600, help="to train; half as many choose epoch and rate")
    parser.add_argument("--test", type=int, default=3000)
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--waves", type=int, default=2)
    parser.add_argument("--noise", type=float, default=0.5, help="its standard deviation")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rates", nargs="*", type=float, default=[3e-3, 1e-2])
    parser.add_argument("--out", type=Path, help="an HTML file for the curves (needs altair)")
    parser.add_argument("--keep", type=Path, help="a file for all results, one JSON object a line; runs in it are over")
    options = parser.parse_args()
    schemes = options.schemes
    if schemes == ["all"]:
        schemes = ["single", "hard_wide", *(way for way in SHARING if way != NO_FUNNEL)]
    results = kept(options.keep)
    over = {(r.scheme, r.cosine, r.seed, r.rate) for r in results}
    for seed, *of, rate in product(range(options.seeds), schemes, options.cosines, options.rates):
        if (*of, seed, rate) not in over:
            results.append(run(*of, seed, rate, options))
            keep(options.keep, results[-1])
    rows = summary([r for r in results if r.scheme in schemes])
    print_table(rows)
    if options.out:
        draw(rows, options.out)
        print(f"Drawn in {options.out}")


def kept(file: Path | None) -> list[Result]:
    if file is None or not file.exists():
        return []
    return [Result(**json.loads(line)) for line in file.read_text().splitlines()]


def keep(file: Path | None, result: Result) -> None:
    if file is not None:
        with file.open("a") as lines:
            lines.write(json.dumps(asdict(result)) + "\n")


if __name__ == "__main__":
    main()
