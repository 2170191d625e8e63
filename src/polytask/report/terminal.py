"""A comparison as tables on the terminal; they read well at 100 columns and without colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from polytask.errors import plural
from polytask.record.compare import CompareRecord, ContenderFacts
from polytask.report.phrases import interval, listing, number
from polytask.report.reading import asides, baseline, challengers, finding, mean_gain, price
from polytask.report.tables import cost_rows, note_lines, verdict_rows

STYLES = {
    "helped": "bold green",
    "hurt": "bold red",
    "no evidence": "",
    "practically equal": "cyan",
    "no verdict": "dim",
}
NARROW = ("predict 1 row",)
"""Costs that have no room in a turned table."""
FEW, MANY = 4, 7
"""Contenders that have room side by side with their titles, and with their names."""

_ASCII = str.maketrans({"↑": "^", "↓": "v", "±": "+-", "×": "x", "–": "-", "Δ": "delta-"})


def print_comparison(record: CompareRecord, console: Console | None = None) -> None:
    """Print verdicts, costs and what they mean.

    :param console: where to; default: stdout, 100 columns wide when that is no terminal.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=max(100, console.width), no_color=True, highlight=False)
    console.print(comparison(record, width=console.width, ascii_only=console.options.ascii_only))


def comparison(record: CompareRecord, *, width: int = 100, ascii_only: bool = False) -> RenderableType:
    """The whole comparison as something that rich can print."""
    write = _Writer(width, ascii_only)
    parts: list[RenderableType] = []
    for contender in challengers(record):
        parts += [*_verdicts(record, contender, write), ""]
    if record.costs:
        parts += [_costs(record, write), ""]
    if record.splits:
        parts += [_splits(record, write), ""]
    parts += [write(line) for line in _closing(record)]
    return Group(*parts)


@dataclass(frozen=True)
class _Column:
    """:param whole: keep every cell on one line while the terminal is wide enough."""

    heading: str
    right: bool = False
    whole: bool = False


class _Writer:
    """Text that survives a terminal without Unicode and is never read as markup, and tables that keep their numbers."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self.width = width
        self.ascii_only = ascii_only

    def __call__(self, text: str, style: str = "") -> Text:
        return Text(text.translate(_ASCII) if self.ascii_only else text, style=style)

    def table(self, title: str, columns: list[_Column], rows: list[list[Text]]) -> Table:
        """A table whose headings and names wrap; its numbers do only where the terminal is too narrow for them."""
        frame = box.ASCII2 if self.ascii_only else box.SIMPLE_HEAD
        table = Table(box=frame, title=self(title, "bold"), title_justify="left", pad_edge=False, collapse_padding=True)
        words = [
            max((len(word) for row in rows for word in row[i].plain.split()), default=0) for i in range(len(columns))
        ]
        lines = [
            max((line.cell_len for row in rows for line in row[i].split()), default=0) for i in range(len(columns))
        ]
        least = [lines[i] if column.whole else min(words[i], 24) for i, column in enumerate(columns)]
        if sum(least) + 2 * len(columns) > self.width:
            least = [min(word, 12) for word in words]
        for column, width in zip(columns, least, strict=True):
            justify: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(self(column.heading), justify=justify, overflow="fold", min_width=width)
        for row in rows:
            table.add_row(*row)
        return table


def _verdicts(record: CompareRecord, contender: ContenderFacts, write: _Writer) -> list[RenderableType]:
    rows = verdict_rows(record, contender)
    reference = baseline(record).title
    columns = [_Column("Task"), _Column("Metric", whole=True), _Column(record.baseline, right=True, whole=True)]
    columns += [
        _Column(contender.name, right=True, whole=True),
        _Column("Gain [95 % interval]", right=True, whole=True),
    ]
    columns += [_Column("Verdict", whole=True), _Column("MDE", right=True, whole=True)]
    cells = [
        [
            *(write(cell) for cell in (row.task, row.metric, row.baseline, row.value)),
            write(f"{row.gain} {row.interval}".strip()),
            write(row.verdict, STYLES[row.verdict]),
            write(row.mde),
        ]
        for row in rows
    ]
    table = write.table(f"{contender.title} against {reference}", columns, cells)
    lines = [finding(record, contender), price(record, contender)]
    if gain := mean_gain(record, contender):
        lines.append(f"Mean relative gain over the tasks (Δm, positive = better): {gain}.")
    lines += note_lines(rows)
    return [table, *(Padding(write(line), (0, 0, 0, 1)) for line in lines if line)]


def _costs(record: CompareRecord, write: _Writer) -> Table:
    """A column per contender, or, when they are many, a row."""
    title = f"Costs (models of one contender together, against {baseline(record).title})"
    count = len(record.contenders)
    between = "\n" if count > FEW else " "
    names = [c.name if count > FEW else c.title for c in record.contenders]
    turned = count > MANY
    shown = [row for row in cost_rows(record) if not (turned and row.quantity in NARROW)]
    quantities = [row.quantity for row in shown]
    cells = [[f"{value}{between}{times}".strip() for value, times in row.cells] for row in shown]
    if turned:
        quantities, names = names, quantities
        cells = [list(column) for column in zip(*cells, strict=True)]
    first = "Contender" if turned else "Cost of one seed"
    columns = [_Column(first, whole=True), *(_Column(name, right=True, whole=True) for name in names)]
    rows = [[write(name), *map(write, row)] for name, row in zip(quantities, cells, strict=True)]
    return write.table(title, columns, rows)


def _splits(record: CompareRecord, write: _Writer) -> Table:
    titles = {contender.name: contender.title for contender in record.contenders}
    columns = [_Column("Contender"), _Column("Task"), _Column("Splits", right=True)]
    columns += [_Column("Gain in % [95 % interval]", right=True, whole=True), _Column("Verdict", whole=True)]
    rows = [
        [
            write(titles.get(split.contender, split.contender)),
            write(split.task),
            write(str(split.splits)),
            write(f"{number(split.relative_gain, 2, sign=True)} {interval(split.relative_interval, 2)}".strip()),
            write(split.verdict, STYLES[split.verdict]),
        ]
        for split in record.splits
    ]
    return write.table("Over repeated splits (about other training samples too)", columns, rows)


def _closing(record: CompareRecord) -> list[str]:
    lines = [
        "Gain: difference to the baseline in units of the metric, positive = better. MDE: the smallest true gain or "
        "loss that would have been called with 80 % chance.",
        record.statement,
        *asides(record),
    ]
    if record.mean_rank:
        titles = {contender.name: contender.title for contender in record.contenders}
        ranks = [f"{titles.get(name, name)} {number(rank, 2)}" for name, rank in record.mean_rank.items()]
        lines.append(f"Mean rank over the tasks (1 = best): {listing(ranks, most=10)}.")
    skipped = sum(entry.steps for entry in record.skipped)
    if skipped:
        tasks = listing(sorted({entry.task for entry in record.skipped}))
        lines.append(f"Skipped because a loss was not finite: {plural(skipped, 'step')} ({tasks}).")
    if record.acted:
        lines.append(f"The artefact answers with the single-task model for: {listing(list(record.acted), most=10)}.")
    seeds = ", ".join(map(str, record.seeds[:10])) + (", ..." if len(record.seeds) > 10 else "")
    lines.append(f"Seeds: {seeds}. Test rows: {record.data.test:,}.")
    return [line for line in lines if line]
