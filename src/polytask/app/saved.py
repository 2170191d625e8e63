"""Where a saved model lies, and where predictions go."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from polytask.errors import DataError, RunError, did_you_mean
from polytask.record.folder import write_file
from polytask.training.artefact import artefact_in

MODEL = "model"

WRITERS: dict[str, Callable[[pl.DataFrame, io.BytesIO], object]] = {
    ".csv": lambda frame, file: frame.write_csv(file),
    ".tsv": lambda frame, file: frame.write_csv(file, separator="\t"),
    ".jsonl": lambda frame, file: frame.write_ndjson(file),
    ".parquet": lambda frame, file: frame.write_parquet(file),
    ".arrow": lambda frame, file: frame.write_ipc(file),
    ".feather": lambda frame, file: frame.write_ipc(file),
}
"""How a table is written, by the ending of its name."""


def model_in(folder: Path) -> Path:
    """The artefact: the folder itself, or ``model/`` in a run folder."""
    return artefact_in(folder)


@contextmanager
def about(table: Path) -> Iterator[None]:
    """Errors in the data inside name the file."""
    try:
        yield
    except DataError as error:
        raise error.at(str(table)) from None


def as_text(frame: pl.DataFrame) -> str:
    """A table for stdout: CSV, or a line of JSON per row where a cell is a list."""
    return frame.write_ndjson() if any(dtype.is_nested() for dtype in frame.dtypes) else frame.write_csv()


def check_out(path: Path, *, overwrite: bool) -> None:
    """Refuses a file that could not be written, before any work is done.

    :raises RunError: an unknown ending, a file that exists, or a folder that is not there.
    """
    if path.suffix.lower() not in WRITERS:
        raise RunError(
            f"the ending {path.suffix!r} is no known format.", where=str(path), do=did_you_mean(path.suffix, WRITERS)
        )
    if path.exists() and not (overwrite and path.is_file()):
        raise RunError("it exists already.", where=str(path), do="Choose another name, or give --overwrite.")


def write_table(frame: pl.DataFrame, path: Path) -> None:
    """Write a table, whole or not at all.

    :raises RunError: it cannot be written.
    """
    ending = path.suffix.lower()
    if ending in {".csv", ".tsv"} and any(dtype.is_nested() for dtype in frame.dtypes):
        raise RunError(
            "the predictions hold lists, which this format has no place for.",
            where=str(path),
            do="Choose another ending: .jsonl, .parquet or .arrow.",
        )
    content = io.BytesIO()
    WRITERS[path.suffix.lower()](frame, content)
    write_file(path, content.getvalue())
