"""Made-up comparisons for the tests of the report: a realistic one, and ones that are hard to print."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from polytask.record.compare import (
    CompareRecord,
    ContenderFacts,
    CostFacts,
    Curve,
    DataFacts,
    DeltaFacts,
    Diagnostic,
    GradientTrace,
    ScoreFacts,
    SkippedSteps,
    Source,
    SplitFacts,
    TaskFacts,
    VerdictFacts,
    WeightTrace,
)

STATEMENT = (
    "The verdicts are about training runs of the two methods on this training sample, scored on new rows from the "
    "population of the test rows. Random: seeds (initialisation, order, validation split) and test rows. Fixed: the "
    "training sample."
)
# name, kind, metric, higher is better, baseline value, gain of the wide and of the narrow model in percent of the error
TASKS = (
    ("body-mass index", "regression", "R2", True, 0.198, 0.14, -0.9),
    ("total cholesterol", "regression", "R2", True, 0.122, 1.28, 0.6),
    ("HDL cholesterol", "regression", "R2", True, 0.158, 0.16, -0.3),
    ("glycohaemoglobin", "regression", "R2", True, 0.153, 1.42, 0.8),
    ("systolic pressure", "regression", "R2", True, 0.291, 1.49, 0.4),
    ("diabetes", "binary", "AUC", True, 0.823, 5.6, 1.1),
    ("trouble sleeping", "binary", "AUC", True, 0.697, 0.65, -0.5),
    ("asthma", "binary", "AUC", True, 0.605, 0.19, 0.2),
    ("general health", "ordinal", "MAE", False, 0.639, -0.68, -3.1),
)


def comparison(
    seeds: int = 5, tasks: tuple[tuple[str, str, str, bool, float, float, float], ...] = TASKS, epochs: int = 24
) -> CompareRecord:
    """Nine tasks, a baseline, a wide and a narrow model, five seeds."""
    rng = np.random.default_rng(7)
    contenders = (
        ContenderFacts(
            "single",
            "single-task",
            "single",
            "One model per task, the same encoder and steps.",
            {"encoder": {"name": "mlp", "width": 128, "depth": 2}},
        ),
        ContenderFacts(
            "wide",
            "wide multi-task",
            "multi",
            "One trunk as wide as each single-task model.",
            {"encoder": {"name": "mlp", "width": 128, "depth": 2}, "balancer": "equal"},
            primary=True,
        ),
        ContenderFacts(
            "narrow",
            "narrow multi-task",
            "multi",
            "A trunk of 16 units for all the tasks.",
            {"encoder": {"name": "mlp", "width": 16, "depth": 2}, "balancer": "uncertainty"},
        ),
    )
    gains = {"single": None, "wide": 5, "narrow": 6}
    scores, verdicts, curves, diagnostics = [], [], [], []
    for task in tasks:
        name, kind, metric, higher, base, *_ = task
        error = 1 - base if higher else base
        for contender, column in gains.items():
            gain = task[column] / 100 * error if column else 0.0
            mean = base + (gain if higher else -gain)
            scores.append(
                ScoreFacts(
                    contender,
                    name,
                    {
                        metric: tuple(mean + 0.006 * error * rng.standard_normal(seeds)),
                        "loss": tuple(0.6 + 0.01 * rng.standard_normal(seeds)),
                    },
                )
            )
            if column:
                half = float(error * (0.011 + 0.006 * rng.random()))
                percent = 100 / error
                word = "no evidence" if abs(gain) < 1.75 * half else "helped" if gain > 0 else "hurt"
                p = min(1.0, math.erfc(abs(gain) / half * 1.96 / math.sqrt(2)))
                rows = (gain - 0.5 * half, gain + 0.5 * half)
                verdicts.append(
                    VerdictFacts(
                        contender,
                        name,
                        metric,
                        word,
                        gain,
                        (gain - half, gain + half),
                        (gain - 1.6 * half, gain + 1.6 * half),
                        p,
                        min(1.0, 9 * p),
                        2.0 * half,
                        gain * percent,
                        ((gain - half) * percent, (gain + half) * percent),
                        2.0 * half * percent,
                        rows,
                        (rows[0] * percent, rows[1] * percent),
                        seeds,
                        2100,
                    )
                )
            for seed in range(seeds):
                e = np.arange(1, epochs + 1)
                validation = (
                    0.75
                    + 0.25 * np.exp(-e / 5)
                    + 0.004 * np.maximum(0, e - 12) * (0.3 if column else 1)
                    + 0.005 * rng.standard_normal(epochs)
                )
                curves.append(
                    Curve(
                        contender,
                        name,
                        seed,
                        tuple(map(int, e)),
                        tuple(0.6 + 0.4 * np.exp(-e / 7)),
                        tuple(validation),
                        tuple(base - 0.1 * np.exp(-e / 4)),
                        int(e[np.argmin(validation)]),
                    )
                )
            x = np.linspace(0.05, 0.6, 10) if kind == "binary" else np.linspace(20, 40, 10)
            y = x + 0.02 * rng.standard_normal(10) if kind == "binary" else 0.6 * rng.standard_normal(10)
            band = 0.03 if kind == "binary" else 2.0
            diagnostics.append(
                Diagnostic(
                    contender,
                    name,
                    "calibration" if kind == "binary" else "residual",
                    tuple(x),
                    tuple(y),
                    (210,) * 10,
                    tuple(y - band),
                    tuple(y + band),
                )
            )
    weights = [
        WeightTrace(
            "narrow",
            seed,
            tuple(range(1, epochs + 1)),
            tuple(t[0] for t in tasks),
            tuple(
                tuple(float(1 + 0.5 * math.sin(i) * (1 - math.exp(-e / 6))) for i in range(len(tasks)))
                for e in range(epochs)
            ),
        )
        for seed in range(seeds)
    ] + [
        WeightTrace(
            "wide",
            seed,
            tuple(range(1, epochs + 1)),
            tuple(t[0] for t in tasks),
            tuple((1.0,) * len(tasks) for _ in range(epochs)),
        )
        for seed in range(seeds)
    ]
    return CompareRecord(
        title="Nine health outcomes of NHANES 2017-2018",
        created="2026-02-03T10:20:30+00:00",
        statement=STATEMENT,
        data=DataFacts((Source("nhanes", 6401, "nhanes"),), 3412, 748, 2241, tuple(f"feature {i}" for i in range(114))),
        tasks=tuple(
            TaskFacts(
                t[0],
                t[1],
                t[2],
                t[3],
                3200,
                2100,
                missing_rate=0.01 * (i + 1),
                rare_rows=270 if t[1] == "binary" else None,
            )
            for i, t in enumerate(tasks)
        ),
        seeds=tuple(range(seeds)),
        baseline="single",
        contenders=contenders,
        scores=tuple(scores),
        verdicts=tuple(verdicts),
        delta_m=(DeltaFacts("wide", 0.72, (0.39, 1.05), 0.0003), DeltaFacts("narrow", -0.41, (-0.9, 0.1), 0.11)),
        mean_rank={"single": 2.11, "wide": 1.33, "narrow": 2.56},
        costs=(
            CostFacts("single", len(tasks), 281_250, 6.4, 1305, 2.1, 11.9, 1_140_000, 410e6),
            CostFacts("wide", 1, 33_300, 1.5, 230, 0.4, 2.3, 139_000, 420e6),
            CostFacts("narrow", 1, 2_700, 2.4, 240, 0.4, 1.4, 16_500, 405e6),
        ),
        curves=tuple(curves),
        weights=tuple(weights),
        gradients=tuple(
            GradientTrace(
                "wide",
                seed,
                tuple(t[0] for t in tasks),
                tuple(range(1, epochs + 1)),
                tuple(float(0.5 - 0.3 * math.exp(-e / 6)) for e in range(epochs)),
                tuple(math.sin(i + seed) for i in range(len(tasks) * (len(tasks) - 1) // 2)),
            )
            for seed in range(seeds)
        ),
        diagnostics=tuple(diagnostics),
        skipped=(SkippedSteps("narrow", "asthma", 3, 2),),
        command="polytask compare nhanes.yaml --seeds 5",
        versions={"polytask": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "platform": "Linux x86_64"},
    )


def sixty_tasks() -> CompareRecord:
    """As many tasks as a multi-label screening has."""
    return comparison(
        tasks=tuple(
            (f"assay {i:02d}", "binary", "AUC", True, 0.7, math.sin(i) * 4, math.cos(i) * 4) for i in range(60)
        ),
        epochs=40,
    )


def one_task_one_seed() -> CompareRecord:
    """Nothing to correct for and nothing to average: the verdict is withheld."""
    record = comparison(seeds=1, tasks=TASKS[:1])
    withheld = tuple(
        dataclasses.replace(
            v,
            verdict="no verdict",
            p=math.nan,
            p_holm=math.nan,
            interval=(math.nan, math.nan),
            relative_interval=(math.nan, math.nan),
            mde=math.nan,
            note="one seed per contender",
        )
        for v in record.verdicts
    )
    return dataclasses.replace(record, verdicts=withheld, delta_m=())


def hostile_names() -> CompareRecord:
    """Names that try to be markup, code, or a template."""
    bad = "<script>alert('x')</script>"
    tasks = (
        (bad, *TASKS[0][1:]),
        ("[bold red]a & b</td>", *TASKS[5][1:]),
        ("{{ 7 * 7 }} </script><!--", *TASKS[8][1:]),
    )
    record = comparison(tasks=tasks)
    contenders = tuple(
        dataclasses.replace(c, title=f"{c.title} <img src=x onerror=alert(1)>", description=bad, config={bad: bad})
        for c in record.contenders
    )
    return dataclasses.replace(
        record,
        title=bad,
        command=bad,
        contenders=contenders,
        data=dataclasses.replace(record.data, sources=(Source(bad, 1, bad),), features=(bad,)),
    )


def nothing_known() -> CompareRecord:
    """Every number NaN or infinite, every list that may be empty empty."""
    record = comparison()
    nan, inf = math.nan, math.inf
    verdicts = tuple(
        VerdictFacts(v.contender, v.task, v.metric, v.verdict, inf, note="not finite") for v in record.verdicts
    )
    scores = tuple(ScoreFacts(s.contender, s.task, dict.fromkeys(s.metrics, (nan, inf))) for s in record.scores)
    curves = (Curve("wide", "asthma", 0, ()), Curve("single", "asthma", 0, (1, 2), (nan, nan), (nan, inf), ()))
    weights = (WeightTrace("wide", 0, (1, 2), ("asthma",), ((nan,), (inf,))), WeightTrace("narrow", 0, (), (), ()))
    costs = (CostFacts("single", 9), CostFacts("wide", 1))
    diagnostics = (
        Diagnostic("wide", "asthma", "calibration", (), (), ()),
        Diagnostic("wide", "diabetes", "residual", (nan,), (nan,), (0,)),
    )
    return dataclasses.replace(
        record,
        verdicts=verdicts,
        scores=scores,
        curves=curves,
        weights=weights,
        costs=costs,
        diagnostics=diagnostics,
        delta_m=(DeltaFacts("wide", nan),),
        mean_rank={"wide": nan},
        versions={},
        command=None,
    )


def everything_else() -> CompareRecord:
    """Auxiliary task, two seeds, tasks that fall back, repeated splits."""
    record = comparison(seeds=2)
    tasks = (*record.tasks[:-1], dataclasses.replace(record.tasks[-1], role="auxiliary"))
    verdicts = tuple(
        dataclasses.replace(v, verdict="no verdict")
        if v.task == "general health"
        else dataclasses.replace(v, weak=True)
        for v in record.verdicts
    )
    splits = tuple(
        SplitFacts("wide", t.name, t.metric, "no evidence", 10, 0.01, (-0.01, 0.03), 0.2, 1.0, 1.0, (-1.0, 3.0))
        for t in tasks[:-1]
    )
    return dataclasses.replace(record, tasks=tasks, verdicts=verdicts, splits=splits, acted=("asthma",))


HARD = {f.__name__: f for f in (one_task_one_seed, hostile_names, nothing_known, everything_else, sixty_tasks)}
