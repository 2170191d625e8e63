"""Questions that a report asks of a record of a comparison."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean, stdev

from polytask.errors import plural
from polytask.record.compare import CompareRecord, ContenderFacts, CostFacts, TaskFacts, VerdictFacts, Word
from polytask.report.phrases import capital, interval, listing, number, times

WORDS: tuple[Word, ...] = ("helped", "hurt", "no evidence", "practically equal", "no verdict")


def baseline(record: CompareRecord) -> ContenderFacts:
    """The contender that the others are compared with."""
    return next(c for c in record.contenders if c.name == record.baseline)


def challengers(record: CompareRecord) -> list[ContenderFacts]:
    """The contenders that are judged against the baseline; the one that was named beforehand comes first.

    A contender without a single verdict stands aside, unless no contender has one.
    """
    compared = {v.contender for v in record.verdicts}
    judged = {v.contender for v in record.verdicts if v.verdict != "no verdict"} or compared
    others = [c for c in record.contenders if c.name in judged and c.name != record.baseline]
    return sorted(others, key=lambda contender: not contender.primary)


def companions(record: CompareRecord) -> list[ContenderFacts]:
    """The contenders that are there for their scores and costs, without verdicts."""
    known = {c.name for c in challengers(record)} | {record.baseline}
    return [contender for contender in record.contenders if contender.name not in known]


def asides(record: CompareRecord) -> list[str]:
    """A sentence for each companion."""
    return [
        f"{capital(contender.title)} was trained beside it, without verdicts"
        + (f"; its mean relative gain is {gain}." if (gain := mean_gain(record, contender)) else ".")
        for contender in companions(record)
    ]


def primary_tasks(record: CompareRecord) -> list[TaskFacts]:
    """The tasks that get a verdict."""
    return [task for task in record.tasks if task.role == "primary"]


def verdict_of(record: CompareRecord, contender: str, task: str) -> VerdictFacts | None:
    """What was found for one contender on one task, if anything."""
    return next((v for v in record.verdicts if v.contender == contender and v.task == task), None)


def cost_of(record: CompareRecord, contender: str) -> CostFacts | None:
    """What a contender costs, if it was measured."""
    return next((c for c in record.costs if c.contender == contender), None)


def values(record: CompareRecord, contender: str, task: str, metric: str) -> list[float]:
    """The finite test scores over the seeds."""
    found = (s.metrics.get(metric, ()) for s in record.scores if s.contender == contender and s.task == task)
    return [value for series in found for value in series if isfinite(value)]


@dataclass(frozen=True)
class Score:
    """Mean and standard deviation (ddof 1; NaN for one value) of a metric over seeds."""

    mean: float
    sd: float

    def text(self, places: int) -> str:
        """``0.823 ± 0.004``."""
        if not isfinite(self.sd):
            return number(self.mean, places)
        finer = places if self.sd == 0 or self.sd >= 0.5 * 10.0**-places else places + 1
        return f"{number(self.mean, places)} ± {number(self.sd, finer)}"


def score(record: CompareRecord, contender: str, task: str, metric: str) -> Score:
    """One metric of a contender on a task over the seeds."""
    found = values(record, contender, task, metric)
    return Score(fmean(found) if found else nan, stdev(found) if len(found) > 1 else nan)


def tally(record: CompareRecord, contender: str) -> dict[str, int]:
    """How many tasks got which verdict, in the order of :data:`WORDS`."""
    counts = Counter(v.verdict for v in record.verdicts if v.contender == contender)
    primary = {task.name for task in primary_tasks(record)}
    silent = sum(1 for v in record.verdicts if v.contender == contender and v.task not in primary)
    counts["no verdict"] = max(0, counts["no verdict"] - silent)
    return {word: counts[word] for word in WORDS if counts[word]}


def finding(record: CompareRecord, contender: ContenderFacts) -> str:
    """One sentence: on which tasks a contender helped or hurt."""
    total = len(primary_tasks(record))
    title = capital(contender.title)
    names: dict[str, list[str]] = {word: [] for word in WORDS}
    for task in primary_tasks(record):
        verdict = verdict_of(record, contender.name, task.name)
        if verdict is not None:
            names[verdict.verdict].append(task.name)
    if not any(names.values()):
        return f"{title}: no task was compared."
    if len(names["no verdict"]) == total:
        return f"{title}: no verdict on any task."
    called = [f"{word} {len(names[word])}" for word in ("helped", "hurt") if names[word]]
    head = (
        f"{' and '.join(called)} of {plural(total, 'task')}"
        if called
        else "was shown neither to help nor to hurt on any task"
    )
    which = [
        f"{word}: {listing(names[word], most=5)}" if len(called) > 1 else listing(names[word], most=5)
        for word in ("helped", "hurt")
        if names[word]
    ]
    tails = [
        f"{phrase} {len(names[word])}"
        for word, phrase in (
            ("no evidence", "no evidence either way on"),
            ("practically equal", "practically equal on"),
            ("no verdict", "no verdict on"),
        )
        if names[word]
    ]
    return f"{title} {head}" + f" ({'; '.join(which)})" * bool(which) + f"; {', '.join(tails)}" * bool(tails) + "."


def price(record: CompareRecord, contender: ContenderFacts) -> str:
    """One sentence: what a contender costs against the baseline; empty when nothing was measured."""
    own, reference = cost_of(record, contender.name), cost_of(record, record.baseline)
    if own is None or reference is None:
        return ""
    parts = [
        f"{times(a / b)} times the {noun}"
        for noun, a, b in (
            ("parameters", own.parameters, reference.parameters),
            ("training time", own.training_seconds, reference.training_seconds),
            ("prediction time", own.latency_1024_ms, reference.latency_1024_ms),
        )
        if isfinite(a) and isfinite(b) and b > 0
    ]
    place = f"{plural(own.models, 'model')} in place of {reference.models}"
    if own.models == reference.models:
        place = f"{plural(own.models, 'model')}, as many as {baseline(record).title}"
    return f"It keeps {place}" + (f", at {listing(parts)}." if parts else ".")


def mean_gain(record: CompareRecord, contender: ContenderFacts) -> str:
    """Delta-m with its interval; the reason where it is not defined; empty where it was not computed."""
    for delta in record.delta_m:
        if delta.contender == contender.name and isfinite(delta.value):
            return f"{number(delta.value, 2, sign=True)} % {interval(delta.interval, 2)}".strip()
        if delta.contender == contender.name and delta.note:
            return f"not defined: {delta.note.rstrip('.')}"
    return ""
