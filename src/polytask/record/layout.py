"""Who shares what in a model: parts, whose they are, their sizes, and what gates give to experts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from statistics import fmean
from typing import Literal

from polytask.record.json import Number

SHARE, ENTROPY = "gate_share/", "gate_entropy/"
"""Diagnostics of gates: ``gate_share/<task>/<expert>`` and ``gate_entropy/<task>``."""


@dataclass(frozen=True)
class PartFacts:
    """A part of a model.

    :param name: ``"block 1"``, ``"gate"``.
    :param kind: one for all tasks; one per task that the losses of others reach too; or one per task alone.
    :param tasks: whose it is. :param numbers: weights and buffers in it: one for all, or one per task.
    """

    name: str
    kind: Literal["shared", "read", "own"]
    tasks: tuple[str, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class GateFacts:
    """What the gate of a task gave to experts on validation rows.

    :param experts: their names. :param shares: mean weight of each.
    :param entropy: mean entropy over its largest value: 1 all experts count alike, 0 one is left.
    """

    task: str
    experts: tuple[str, ...]
    shares: tuple[Number, ...]
    entropy: Number = nan


@dataclass(frozen=True)
class LayoutFacts:
    """Who shares what.

    :param sharing: name of the way of sharing.
    :param flops: floating-point operations of a forward pass per row, for all tasks.
    """

    sharing: str
    tasks: tuple[str, ...]
    parts: tuple[PartFacts, ...]
    flops: Number
    gates: tuple[GateFacts, ...] = ()

    def with_gates(self, diagnostics: Mapping[str, float]) -> LayoutFacts:
        """The same with what diagnostics say of gates."""
        return replace(self, gates=gates_of(diagnostics))

    def mean_gates(self, others: Sequence[LayoutFacts | None]) -> LayoutFacts:
        """The same with gates that are means over several trainings."""
        known = [other for other in others if other is not None and len(other.gates) == len(self.gates)]
        together = zip(*(other.gates for other in known), strict=True)
        return replace(self, gates=tuple(_mean_gate(gates) for gates in together))


def gates_of(diagnostics: Mapping[str, float]) -> tuple[GateFacts, ...]:
    """The gates that diagnostics speak of."""
    shares: dict[str, dict[str, float]] = {}
    for key, value in diagnostics.items():
        if key.startswith(SHARE):
            task, _, expert = key.removeprefix(SHARE).rpartition("/")
            shares.setdefault(task, {})[expert] = value
    return tuple(
        GateFacts(task, tuple(own), tuple(own.values()), diagnostics.get(f"{ENTROPY}{task}", nan))
        for task, own in shares.items()
    )


def _mean_gate(gates: Sequence[GateFacts]) -> GateFacts:
    shares = tuple(fmean(values) for values in zip(*(gate.shares for gate in gates), strict=True))
    return replace(gates[0], shares=shares, entropy=fmean(gate.entropy for gate in gates))
