"""Tables in files: delimited text, Parquet, Arrow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from polytask.data.delimited import read_delimited, separator_of
from polytask.errors import DataError, did_you_mean

DELIMITED = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".feather", ".ipc")
KNOWN = (*DELIMITED, *PARQUET, *ARROW)


def ending_of(path: Path) -> str:
    """The ending that tells the format, lower case.

    :raises DataError: it tells none.
    """
    lower = path.name.lower()
    found = max((end for end in KNOWN if lower.endswith(end)), key=len, default=None)
    if found is None:
        raise DataError(
            f"the ending {path.suffix!r} is no known format.",
            do=f"Known: {', '.join(KNOWN)}. Save the table as CSV or Parquet.",
        )
    return found


def read_file(path: Path, ending: str, text: Collection[str] = ()) -> pl.DataFrame:
    """A table in memory.

    :param ending: one of ``KNOWN``. :param text: columns of a CSV that stay text whatever they look like.
    :raises DataError: it cannot be read.
    """
    try:
        if ending in DELIMITED:
            return read_delimited(path, text=text)
        return pl.read_parquet(path) if ending in PARQUET else _read_arrow(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise unreadable(error) from None


def scan_file(path: Path, ending: str) -> pl.LazyFrame:
    """A table left on disk."""
    if ending in PARQUET:
        return pl.scan_parquet(path)
    if ending in ARROW:
        return pl.scan_ipc(path)
    return pl.scan_csv(
        path,
        separator=separator_of(path),
        infer_schema_length=None,
        null_values=["NA", "N/A", "NaN", "null", "None", "?"],
        try_parse_dates=True,
    )


def existing(path: Path, known: tuple[str, ...] = KNOWN) -> Path:
    """The path of a file that is there.

    :param known: endings of files to offer.
    :raises DataError: it is not there, or a folder.
    """
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError("expected a file, found a folder.", do="Give the path of one table in it.")
    if not path.parent.is_dir():
        raise DataError("there is no such file, nor its folder.", do="Check the path.")
    nearby = [entry.name for entry in path.parent.iterdir() if entry.name.lower().endswith(known)]
    raise DataError("there is no such file.", do=did_you_mean(path.name, nearby))


def unreadable(error: BaseException) -> DataError:
    """The error about a file that a library could not read."""
    reason = str(error).strip().split("\n")[0][:200]
    return DataError(
        f"the file cannot be read: {reason}.",
        do="It may be damaged, cut short, or of another format than its ending says.",
    )


def _read_arrow(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ipc(path)
    except pl.exceptions.ComputeError:  # the streaming form of the same format has no footer
        return pl.read_ipc_stream(path)
