"""``polytask init``: from a table to a configuration that works as it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from polytask.app.draft import draft, written
from polytask.app.guard import tell
from polytask.app.options import Overwrite, TableFile
from polytask.data.sources import read
from polytask.errors import ConfigError, RunError
from polytask.record.folder import write_file

Targets = Annotated[
    list[str],
    typer.Option(
        "--targets",
        metavar="A,B,C",
        help="The columns to predict, with commas between them; repeatable, for a name that holds a comma.",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The configuration to write.")]


def command(
    table: TableFile, *, targets: Targets, out: Out = Path("polytask.yaml"), overwrite: Overwrite = False
) -> None:
    """Look at a table and write a configuration.

    Guesses what kind of task each target is, leaves out what cannot be a feature, and says why. The file is
    commented and works as it is; read it all the same.
    """
    if out.exists() and not (overwrite and out.is_file()):
        raise RunError("it exists already.", where=str(out), do="Choose another --out, or give --overwrite.")
    frame = read(table)
    names = named(targets, frame.columns)
    if not names:
        raise ConfigError("expected columns to predict, found none.", where="--targets", do="--targets churn,visits")
    found = draft(frame, names, where=str(table))
    write_file(out, written(found, table, out).encode())
    for task in found.tasks:
        tell(f"{task.task.name}: {task.kind}, because of {task.reason}; {task.missing:.1%} missing")
    for column, reason in found.excluded.items():
        tell(f"{column}: left out: {reason}")
    tell(f"Written: {out}. Next: polytask check {out}, then polytask compare {out}")


def named(given: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that were asked for, each once: a text that is a column is one, all others are lists of names.

    >>> named(["a, b", "c,d"], ["a", "b", "c,d"])
    ['a', 'b', 'c,d']
    """
    parts = [[text] if text in columns else text.split(",") for text in given]
    return list(dict.fromkeys(name.strip() for part in parts for name in part if name.strip()))
