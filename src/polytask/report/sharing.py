"""Who shares what: the parts of a model over its tasks, and what gates give to experts."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from polytask.record.layout import GateFacts, LayoutFacts, PartFacts
from polytask.report.phrases import ABSENT, count, share

WIDEST = 16
"""More tasks than this are not all drawn."""
COLLAPSED = 0.1
"""A gate whose entropy is below this share of its largest value has all but one expert switched off."""
DEAD = 0.01
"""An expert with less than this mean weight in every gate is not used."""


@dataclass(frozen=True)
class Cell:
    """A place in a row: empty without a text.

    :param span: columns that it covers. :param strength: from 0 to 1, for the colour of a weight.
    """

    text: str = ""
    span: int = 1
    strength: float = 0.0


@dataclass(frozen=True)
class Row:
    """A part, or an expert.

    :param kind: shared, read, own; or gate.
    """

    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Diagram:
    """A model as the page draws it: a column for every task.

    :param hidden: tasks that are not drawn.
    :param notes: what the gates say of themselves in words.
    """

    title: str
    sharing: str
    tasks: tuple[str, ...]
    hidden: int
    parts: tuple[Row, ...]
    gates: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    kinds: tuple[str, ...]


def diagram(layout: LayoutFacts, title: str) -> Diagram:
    """The diagram of one model."""
    tasks = layout.tasks[:WIDEST]
    sizes = {kind: sum(sum(part.numbers) for part in layout.parts if part.kind == kind) for kind in KINDS}
    total = sum(sizes.values())
    facts = [("Numbers", f"{total:,}")]
    facts += [
        (words, f"{sizes[kind]:,} ({share(sizes[kind] / total)})") for kind, words in KINDS.items() if sizes[kind]
    ]
    facts.append(("Operations per row", count(layout.flops) if isfinite(layout.flops) else ABSENT))
    return Diagram(
        title=title,
        sharing=layout.sharing,
        tasks=tasks,
        hidden=len(layout.tasks) - len(tasks),
        parts=tuple(_part(part, tasks) for part in layout.parts),
        gates=_gates(layout.gates, tasks),
        facts=tuple(facts),
        notes=tuple(_notes(layout.gates)),
        kinds=tuple(kind for kind in KINDS if sizes[kind]),
    )


KINDS = {"shared": "Shared by all", "read": "One per task, read by others", "own": "One per task alone"}
"""Kind of a part -> in words."""


def _part(part: PartFacts, tasks: tuple[str, ...]) -> Row:
    if part.kind == "shared":
        return Row(part.name, part.kind, (Cell(f"{part.numbers[0]:,}", len(tasks)),))
    own = dict(zip(part.tasks, part.numbers, strict=True))
    return Row(part.name, part.kind, tuple(Cell(f"{own[task]:,}" if task in own else "") for task in tasks))


def _gates(gates: tuple[GateFacts, ...], tasks: tuple[str, ...]) -> tuple[Row, ...]:
    """A row for every expert, and one for the entropy of the gates."""
    if not gates:
        return ()
    of_all = len(gates) == 1 and gates[0].task not in tasks  # one gate for all tasks
    drawn = gates if of_all else tuple(gate for gate in gates if gate.task in tasks)
    span = len(tasks) if of_all else 1
    rows = [
        Row(expert, "gate", tuple(Cell(share(gate.shares[i]), span, gate.shares[i]) for gate in drawn))
        for i, expert in enumerate(gates[0].experts)
    ]
    entropies = (f"{gate.entropy:.2f}" if isfinite(gate.entropy) else ABSENT for gate in drawn)
    return (*rows, Row("entropy", "sum", tuple(Cell(text, span) for text in entropies)))


def _notes(gates: tuple[GateFacts, ...]) -> list[str]:
    notes = []
    collapsed = [gate.task for gate in gates if gate.entropy < COLLAPSED]
    if collapsed:
        notes.append(f"Collapsed to one expert: the gate of {', '.join(collapsed)}.")
    dead = [
        expert
        for i, expert in enumerate(gates[0].experts if gates else ())
        if all(gate.shares[i] < DEAD for gate in gates)
    ]
    if dead:
        notes.append(f"Used by no gate: expert {', '.join(dead)}.")
    return notes
