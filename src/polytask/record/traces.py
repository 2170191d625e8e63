"""From the epochs of one run to what a comparison keeps of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan

from polytask.record.compare import GradientTrace
from polytask.record.run import EpochRecord, GradientFacts

DIGITS = 4


def gradient_trace(contender: str, seed: int, history: Sequence[EpochRecord]) -> GradientTrace | None:
    """How the task gradients lay to each other over a run; None when nothing looked at them."""
    seen = [(epoch.epoch, epoch.gradients) for epoch in history if epoch.gradients is not None]
    if not seen:
        return None
    return GradientTrace(
        contender=contender,
        seed=seed,
        tasks=seen[0][1].tasks,
        epochs=tuple(epoch for epoch, _ in seen),
        conflicts=tuple(round(facts.conflicts, DIGITS) for _, facts in seen),
        cosines=_means([facts for _, facts in seen]),
    )


def _means(seen: Sequence[GradientFacts]) -> tuple[float, ...]:
    """Mean cosines over epochs, each as often as it looked; NaN for a pair that never met."""
    found = []
    for values in zip(*(facts.cosines for facts in seen), strict=True):
        known = [(facts.steps, value) for facts, value in zip(seen, values, strict=True) if isfinite(value)]
        steps = sum(count for count, _ in known)
        found.append(round(sum(count * value for count, value in known) / steps, DIGITS) if steps else nan)
    return tuple(found)
