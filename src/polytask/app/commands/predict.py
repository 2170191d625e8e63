"""``polytask predict``: a table without labels in, a table of predictions out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from polytask.app.guard import tell
from polytask.app.options import ModelFolder, Overwrite, TableFile, Trust
from polytask.app.saved import about, as_text, check_out, model_in, write_table
from polytask.data.sources import read
from polytask.errors import DataError, did_you_mean, plural
from polytask.training.learner import load

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="CSV, TSV, JSON lines (.jsonl), Parquet or Arrow, by its ending. Default: to stdout, CSV or JSON lines.",
    ),
]
Keep = Annotated[
    list[str] | None, typer.Option("--keep", metavar="COLUMN", help="Copy this column of TABLE too; repeatable.")
]


def command(
    model: ModelFolder,
    table: TableFile,
    *,
    out: Out = None,
    keep: Keep = None,
    overwrite: Overwrite = False,
    trust: Trust = False,
) -> None:
    """Predict with a saved model.

    One row per row of TABLE, in its order: labels with probabilities, numbers, intervals where the task gives them.
    Columns may come in any order, more columns are ignored, label columns are not needed. A model of texts also reads
    raw text from stdin (TABLE is -), a text per line, and answers with a line of JSON for each.
    """
    if out is not None:
        check_out(out, overwrite=overwrite)
    learner = load(model_in(model), trust=trust)
    rows = _lines() if str(table) == "-" else read(table, text=learner.fitted.schema.categories)
    with about(table):
        predictions = learner.predict(rows)
    found = pl.concat([_kept(rows, keep or [], predictions.columns, str(table)), predictions], how="horizontal")
    if out is None:
        print(as_text(found), end="")
        return
    write_table(found, out)
    tell(f"Written: {out}, {plural(found.height, 'row')}, columns {', '.join(found.columns)}")


def _lines() -> pl.DataFrame:
    """The lines of stdin as texts."""
    return pl.DataFrame({"text": sys.stdin.read().splitlines()}, schema={"text": pl.String})


def _kept(rows: pl.DataFrame, keep: list[str], taken: list[str], where: str) -> pl.DataFrame:
    for column in keep:
        if column not in rows.columns:
            raise DataError(f"there is no column {column!r}.", where=where, do=did_you_mean(column, rows.columns))
        if column in taken:
            raise DataError(f"the predictions have a column {column!r} too.", where="--keep", do="Leave it out.")
    return rows.select(keep)
