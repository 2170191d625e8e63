"""When do soft sharing and experts beat hard sharing? Two tasks whose relatedness is set by hand.

    python examples/related_tasks.py --out runs/related_tasks.html

The construction of the MMoE paper (Ma et al., KDD 2018): with orthonormal u1, u2,

    w1 = u1,   w2 = p u1 + sqrt(1 - p^2) u2,   y_k = w_k x + sum_i sin(a_i w_k x + b_i) + noise,   x ~ N(0, I),

so that cos(w1, w2) = p exactly. The paper leaves a_i and b_i open: here five waves have a = 0.5, 1, ... 2.5 and
b = 0, 1, ... 4. The noise has variance 0.01, the lowest MSE that any model can have. Every scheme is trained for each p
and seed on the same rows, with the same encoder and options. Prints the test MSE of every scheme (mean of both tasks;
mean and standard deviation over seeds; relative to hard sharing on the same data); with altair installed and
``--out``, draws it over p. Schemes with several trunks have more parameters: ``hard_wide`` is hard sharing at four
times the width, to tell what size alone does, and ``single_mtan`` (any scheme with ``single_`` before it) the same
network trained on each task alone, to tell what its layers do without any sharing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import polytask
from polytask.errors import MissingExtraError

SCHEMES = ("single", "hard", "hard_wide", "soft", "cross_stitch", "mmoe", "cgc", "ple", "mtan")
TASKS = ("y1", "y2")


@dataclass(frozen=True)
class Result:
    """One training: a scheme at one cosine with one seed.

    :param mse: on the test rows, mean of both tasks.
    :param seconds: of training, for both tasks together.
    :param parameters: of all models.
    """

    scheme: str
    cosine: float
    seed: int
    mse: float
    seconds: float
    parameters: int


def directions(cosine: float, features: int, rng: np.random.Generator) -> np.ndarray:
    """``(2, features)``: two unit vectors with exactly this cosine."""
    basis, _ = np.linalg.qr(rng.normal(size=(features, 2)))
    return np.stack([basis[:, 0], cosine * basis[:, 0] + np.sqrt(1 - cosine**2) * basis[:, 1]])


def table(cosine: float, seed: int, rows: int, features: int = 50, waves: int = 5) -> pl.DataFrame:
    """Features x0, x1, ... and the labels y1, y2."""
    rng = np.random.default_rng(seed)
    frequency, phase = np.linspace(0.5, 2.5, waves), np.arange(waves)
    w = directions(cosine, features, rng)
    x = rng.normal(size=(rows, features))
    along = x @ w.T
    y = along + np.sin(along[..., None] * frequency + phase).sum(-1) + 0.1 * rng.normal(size=along.shape)
    columns = {f"x{i}": x[:, i] for i in range(features)}
    return pl.DataFrame(columns | {name: y[:, i] for i, name in enumerate(TASKS)})


def contender(scheme: str, width: int) -> tuple[str, bool, int]:
    """Its way of sharing, whether every task has a model of its own, and the width of its encoder."""
    if scheme == "hard_wide":
        return "hard", False, 4 * width
    if scheme == "single":
        return "hard", True, width
    return scheme.removeprefix("single_"), scheme.startswith("single_"), width


def run(scheme: str, cosine: float, seed: int, options: argparse.Namespace) -> Result:
    """Train on two thirds of the rows, choose the epoch on a sixth, test on a sixth."""
    rows = table(cosine, seed, options.rows)
    cut, end = options.rows * 2 // 3, options.rows * 5 // 6
    train, validation, test = rows[:cut], rows[cut:end], rows[end:]
    way, is_single, width = contender(scheme, options.width)
    errors, parameters, begin = [], 0, time.perf_counter()
    for names in [(name,) for name in TASKS] if is_single else [TASKS]:
        learner = polytask.Learner(
            [polytask.Regression(name) for name in names],
            encoder={"name": "mlp", "width": width, "depth": 2, "dropout": 0.0},
            sharing=way,
            training=training(options),
            exclude=[name for name in TASKS if name not in names],
            seed=seed,
        ).fit(train, validation)
        predicted = learner.predict(test)
        errors += [((predicted[name] - test[name]) ** 2).mean() for name in names]
        parameters += sum(p.numel() for p in learner.fitted.parts[0].model.parameters())
    return Result(scheme, cosine, seed, float(np.mean(errors)), time.perf_counter() - begin, parameters)


def training(options: argparse.Namespace) -> dict[str, Any]:
    return {"epochs": options.epochs, "patience": 0, "lr": options.lr, "batch_size": 128, "threads": 1}


def summary(results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row per scheme and cosine, with the MSE over that of hard sharing with the same seed and data."""
    hard = {(r.cosine, r.seed): r.mse for r in results if r.scheme == "hard"}
    groups: dict[tuple[str, float], list[Result]] = {}
    for result in results:
        groups.setdefault((result.scheme, result.cosine), []).append(result)
    return [{"scheme": scheme, "p": p, **_numbers(group, hard)} for (scheme, p), group in groups.items()]


def _numbers(group: Sequence[Result], hard: Mapping[tuple[float, int], float]) -> dict[str, float]:
    mse = [r.mse for r in group]
    ratio = [r.mse / hard[r.cosine, r.seed] for r in group if (r.cosine, r.seed) in hard]
    return {
        "mse": float(np.mean(mse)),
        "sd": float(np.std(mse, ddof=1)) if len(mse) > 1 else 0.0,
        "ratio": float(np.mean(ratio)) if ratio else float("nan"),
        "ratio_sd": float(np.std(ratio, ddof=1)) if len(ratio) > 1 else 0.0,
        "seconds": float(np.mean([r.seconds for r in group])),
        "parameters": group[0].parameters,
    }


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    head = ("scheme", "p", "test MSE ± sd", "over hard ± sd", "seconds", "parameters")
    print("{:14s} {:>4s}  {:>15s}  {:>14s}  {:>7s}  {:>10s}".format(*head))
    for r in rows:
        error, ratio = f"{r['mse']:.3f} ± {r['sd']:.3f}", f"{r['ratio']:.2f} ± {r['ratio_sd']:.2f}"
        print(
            f"{r['scheme']:14s} {r['p']:4.1f}  {error:>15s}  {ratio:>14s}  {r['seconds']:7.1f}  {r['parameters']:10d}"
        )


def draw(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    try:
        import altair as alt
    except ImportError:
        raise MissingExtraError("altair", "report", "drawing the curves") from None
    chart = alt.Chart(alt.InlineData([dict(row) for row in rows]), width=480, height=320).encode(
        x=alt.X("p:Q", title="cosine of the tasks' directions"),
        y=alt.Y("ratio:Q", title="test MSE over hard sharing", scale=alt.Scale(zero=False)),
        color=alt.Color("scheme:N", title=None),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    chart.mark_line(point=True).save(str(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemes", nargs="*", default=list(SCHEMES))
    parser.add_argument("--cosines", nargs="*", type=float, default=[0.0, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, help="an HTML file for the curves (needs altair)")
    options = parser.parse_args()
    runs = product(options.schemes, options.cosines, range(options.seeds))
    rows = summary([run(scheme, p, seed, options) for scheme, p, seed in runs])
    print_table(rows)
    if options.out:
        draw(rows, options.out)
        print(f"Drawn in {options.out}")


if __name__ == "__main__":
    main()
