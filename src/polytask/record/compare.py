"""``compare.json``: everything that a comparison leaves on disk, and all that its report needs.

Plain values only. A number that is not known is NaN (``null`` in the file). Differences and gains are oriented:
**positive is better**, whatever the direction of the metric.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from polytask.errors import RunError
from polytask.record.json import Number, decode, encode
from polytask.record.layout import LayoutFacts

COMPARE_FILE = "compare.json"
FORMAT = 1

Interval = tuple[Number, Number]
UNKNOWN: Interval = (float("nan"), float("nan"))

Word = Literal["helped", "hurt", "no evidence", "practically equal", "no verdict"]
"""``"no verdict"``: withheld (one seed, too few test rows, auxiliary task, ...); the note says why."""


@dataclass(frozen=True)
class Source:
    """One table that was read.

    :param origin: its path, or the name of the data set.
    """

    name: str
    rows: int
    origin: str = ""


@dataclass(frozen=True)
class DataFacts:
    """What was read and how it was split; rows over all sources.

    :param features: names of the input columns.
    """

    sources: tuple[Source, ...]
    train: int
    validation: int
    test: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskFacts:
    """One task and its labels.

    :param kind: name in the catalogue of tasks, for example ``"binary"``.
    :param metric: the metric that verdicts speak about.
    :param unit: unit of the metric, if it has one.
    :param missing_rate: share of rows without a label, over all splits, 0 to 1.
    :param rare_rows: labelled test rows of the rarest class; None for tasks without classes.
    """

    name: str
    kind: str
    metric: str
    higher_is_better: bool
    labelled_train: int
    labelled_test: int
    role: Literal["primary", "auxiliary"] = "primary"
    unit: str = ""
    missing_rate: Number = float("nan")
    rare_rows: int | None = None


@dataclass(frozen=True)
class ContenderFacts:
    """One way of training all the tasks.

    :param name: short and unique; every other part of the record refers to it.
    :param title: what tables and charts print.
    :param config: the resolved configuration, as JSON values.
    :param kind: one model per task, one model for all, a linear estimator for all, or boosted trees per task.
    :param primary: named beforehand as the one whose verdicts count: its Holm family holds no other contender.
    :param layout: who shares what in its model; None where there are several, or no network.
    """

    name: str
    title: str
    kind: Literal["single", "multi", "linear", "boosting"]
    description: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    primary: bool = False
    layout: LayoutFacts | None = None


@dataclass(frozen=True)
class ScoreFacts:
    """Test scores of one contender on one task: metric -> one value per seed, in the order of ``seeds``."""

    contender: str
    task: str
    metrics: dict[str, tuple[Number, ...]]


@dataclass(frozen=True)
class VerdictFacts:
    """Does ``contender`` differ from the baseline on ``task``?

    :param estimate: difference of the mean metric, positive = contender better, in units of the metric.
    :param interval: 95 % interval of the estimate, over seeds and test rows.
    :param simultaneous: the interval at the 5 % level shared by all T tasks.
    :param p_holm: p after Holm; the verdict follows from this one.
    :param mde: minimum detectable effect: the difference that would have been called with 80 % chance.
    :param relative_gain: estimate in percent of the baseline's error (1 - AUC, 1 - R2, the loss itself).
    :param rows_only: 95 % interval over test rows alone: about these trained models, not about the methods.
    :param seeds: the smaller number of seeds of the two. :param rows: labelled test rows.
    :param weak: True at two seeds: calibrated, but with little power.
    :param note: why there is no verdict, or what to keep in mind.
    """

    contender: str
    task: str
    metric: str
    verdict: Word
    estimate: Number
    interval: Interval = UNKNOWN
    simultaneous: Interval = UNKNOWN
    p: Number = float("nan")
    p_holm: Number = float("nan")
    mde: Number = float("nan")
    relative_gain: Number = float("nan")
    relative_interval: Interval = UNKNOWN
    relative_mde: Number = float("nan")
    rows_only: Interval = UNKNOWN
    relative_rows_only: Interval = UNKNOWN
    seeds: int = 0
    rows: int = 0
    weak: bool = False
    note: str = ""


@dataclass(frozen=True)
class DeltaFacts:
    """Mean relative gain over the primary tasks, in percent; positive = better than the baseline."""

    contender: str
    value: Number
    interval: Interval = UNKNOWN
    p: Number = float("nan")
    note: str = ""


@dataclass(frozen=True)
class CostFacts:
    """What one seed of a contender costs, summed over its models and averaged over the seeds.

    :param models: how many models answer for all the tasks.
    :param latency_1_ms: milliseconds to predict every task for one row (``latency_1024_ms``: for 1024 rows).
    :param training_memory_bytes: what one training step of its largest model holds (weights, gradients, optimizer
        moments, activations kept for the backward pass), counted and not sampled.
    """

    contender: str
    models: int
    parameters: Number = float("nan")
    training_seconds: Number = float("nan")
    steps: Number = float("nan")
    latency_1_ms: Number = float("nan")
    latency_1024_ms: Number = float("nan")
    artefact_bytes: Number = float("nan")
    training_memory_bytes: Number = float("nan")


@dataclass(frozen=True)
class Curve:
    """How one task learned in one run; the series run parallel to ``epochs`` and may be empty.

    :param best_epoch: the epoch whose weights were kept for this task, or at which it was best.
    """

    contender: str
    task: str
    seed: int
    epochs: tuple[int, ...]
    train_loss: tuple[Number, ...] = ()
    validation_loss: tuple[Number, ...] = ()
    validation_metric: tuple[Number, ...] = ()
    best_epoch: int | None = None


@dataclass(frozen=True)
class WeightTrace:
    """Mean weight that the balancer gave each task in each epoch: ``values[e][t]``, ``(E, T)``."""

    contender: str
    seed: int
    epochs: tuple[int, ...]
    tasks: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]


@dataclass(frozen=True)
class GradientTrace:
    """How the gradients of T tasks lay to each other in one run of a contender that looked at them.

    :param conflicts: ``(E,)``: by epoch, the share of pairs of tasks whose gradients point apart.
    :param cosines: mean cosine of each pair over the run, NaN where it is not known: the upper triangle of ``(T, T)``
        without its diagonal, row by row.
    """

    contender: str
    seed: int
    tasks: tuple[str, ...]
    epochs: tuple[int, ...]
    conflicts: tuple[Number, ...]
    cosines: tuple[Number, ...]


@dataclass(frozen=True)
class Diagnostic:
    """A picture of the errors in bins of the prediction, over the test rows of all seeds.

    Calibration: ``x`` mean predicted probability, ``y`` observed share. Residual: ``x`` mean prediction, ``y``
    mean of truth minus prediction. ``n`` rows per bin; ``low`` and ``high``: optional band around ``y``.
    """

    contender: str
    task: str
    kind: Literal["calibration", "residual"]
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    n: tuple[int, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()


@dataclass(frozen=True)
class SkippedSteps:
    """Steps that were skipped for one task because its loss was not finite."""

    contender: str
    task: str
    seed: int
    steps: int


@dataclass(frozen=True)
class SplitFacts:
    """The verdict over repeated splits (Nadeau and Bengio 2003): it speaks about other training samples too."""

    contender: str
    task: str
    metric: str
    verdict: Word
    splits: int
    estimate: Number
    interval: Interval = UNKNOWN
    p: Number = float("nan")
    p_holm: Number = float("nan")
    relative_gain: Number = float("nan")
    relative_interval: Interval = UNKNOWN
    note: str = ""


@dataclass(frozen=True)
class CompareRecord:
    """One comparison, whole.

    :param created: date and time, ISO 8601. :param command: the command line that made it, if one did.
    :param versions: ``{"polytask": ..., "python": ..., "torch": ..., "platform": ...}``.
    :param statement: what the verdicts speak about, in a sentence or two.
    :param baseline: name of the contender that the others are compared with.
    :param acted: tasks that fall back to their single-task model in the artefact; None when that was not asked for.
    """

    title: str
    created: str
    statement: str
    data: DataFacts
    tasks: tuple[TaskFacts, ...]
    seeds: tuple[int, ...]
    baseline: str
    contenders: tuple[ContenderFacts, ...]
    scores: tuple[ScoreFacts, ...]
    verdicts: tuple[VerdictFacts, ...] = ()
    delta_m: tuple[DeltaFacts, ...] = ()
    mean_rank: dict[str, Number] = field(default_factory=dict)
    costs: tuple[CostFacts, ...] = ()
    curves: tuple[Curve, ...] = ()
    weights: tuple[WeightTrace, ...] = ()
    gradients: tuple[GradientTrace, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    acted: tuple[str, ...] | None = None
    skipped: tuple[SkippedSteps, ...] = ()
    splits: tuple[SplitFacts, ...] = ()
    command: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        names = {contender.name for contender in self.contenders}
        if self.baseline not in names:
            raise RunError(f"the baseline {self.baseline!r} is no contender; contenders: {sorted(names)}.")

    def to_json(self) -> str:
        """The text of ``compare.json``."""
        return encode(self)

    @staticmethod
    def from_json(text: str | bytes, *, where: str = COMPARE_FILE) -> CompareRecord:
        """The record behind the text of ``compare.json``.

        :raises RunError: damaged, of a newer format, or with a missing or wrong key.
        """
        return decode(CompareRecord, text, where=where, newest=FORMAT)

    @staticmethod
    def read(folder: Path) -> CompareRecord:
        """The record in a run folder.

        :raises RunError: there is none, or it cannot be read.
        """
        path = Path(folder) / COMPARE_FILE
        try:
            text = path.read_bytes()
        except OSError as error:
            raise RunError(
                f"cannot read: {error.strerror or error}.",
                where=str(path),
                do="Give the folder that `polytask compare` wrote.",
            ) from None
        return CompareRecord.from_json(text, where=str(path))
