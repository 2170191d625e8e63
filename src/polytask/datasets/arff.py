"""ARFF tables (Weka, Mulan): numeric and nominal attributes, dense rows, ``?`` for missing."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import polars as pl

from polytask.errors import DataError

Cell: TypeAlias = float | str | None

ATTRIBUTE = re.compile(r"""@attribute\s+("[^"]*"|'[^']*'|\S+)\s+(\{.*\}|\w+)""", re.IGNORECASE)
NUMERIC = frozenset({"numeric", "real", "integer"})


def read_text(path: Path) -> str:
    """The text of a file, unpacked if its name ends in ``.gz``."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", errors="replace")


def read_arff(path: Path) -> pl.DataFrame:
    """A dense ARFF file: numbers as Float64, nominal values as strings.

    :raises polytask.errors.DataError: no data, another kind of attribute, sparse rows, or a row of another length.
    """
    kinds: dict[str, str] = {}
    rows: list[list[Cell]] = []
    in_data = False
    for number, raw in enumerate(read_text(path).splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("%"):
            continue
        if in_data:
            rows.append(_row(line, kinds, f"{path}, line {number}"))
        elif line.lower().startswith("@attribute"):
            name, kind = _attribute(line, f"{path}, line {number}")
            if name in kinds:
                raise DataError(f"found a second attribute named {name!r}.", where=f"{path}, line {number}")
            kinds[name] = kind
        in_data = in_data or line.lower().startswith("@data")
    if not kinds or not rows:
        raise DataError("expected attributes and rows of an ARFF file, found none.", where=str(path))
    types = {name: pl.Float64() if kind == "numeric" else pl.String() for name, kind in kinds.items()}
    return pl.DataFrame(rows, schema=types, orient="row")


def _attribute(line: str, where: str) -> tuple[str, str]:
    match = ATTRIBUTE.match(line)
    if match is None:
        raise DataError(f"expected '@attribute NAME KIND', found {line[:80]!r}.", where=where)
    name = match[1].strip('"').replace("'", "")
    if match[2].startswith("{"):
        return name, "nominal"
    if match[2].lower() in NUMERIC:
        return name, "numeric"
    raise DataError(f"expected a numeric or nominal attribute, found {match[2]!r}.", where=where)


def _row(line: str, kinds: Mapping[str, str], where: str) -> list[Cell]:
    if line.startswith("{"):
        raise DataError("expected a dense row, found a sparse one.", where=where)
    cells = [cell.strip().strip("'\"") for cell in line.split(",")]
    if len(cells) != len(kinds):
        raise DataError(f"expected {len(kinds)} values, found {len(cells)}.", where=where)
    return [_cell(cell, name, kind, where) for cell, (name, kind) in zip(cells, kinds.items(), strict=True)]


def _cell(cell: str, name: str, kind: str, where: str) -> Cell:
    if cell == "?":
        return None
    if kind == "nominal":
        return cell
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"expected a number for {name!r}, found {cell!r}.", where=where) from None
