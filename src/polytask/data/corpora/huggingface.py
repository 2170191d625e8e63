"""Data sets of the Hugging Face ``datasets`` library: objects, and folders that ``save_to_disk`` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from polytask.errors import DataError, did_you_mean

MODULE = "datasets"


def is_hf_dataset(value: object) -> bool:
    """Whether it is an object of the ``datasets`` library."""
    return type(value).__module__.split(".")[0] == MODULE


def from_hf_dataset(dataset: Any, split: str | None = None) -> pl.DataFrame:
    """A data set as a frame; class labels become their names.

    :param split: of a ``DatasetDict``.
    :raises DataError: several splits and none named, or a data set that streams.
    """
    if isinstance(dataset, Mapping):
        return from_hf_dataset(dataset[_split(list(dataset), split)])
    if not isinstance(getattr(dataset, "num_rows", None), int):
        raise DataError(
            f"expected a data set with a length, found {type(dataset).__name__}.",
            do="Load it without streaming=True, or save it to Parquet and give the file.",
        )
    table: pa.Table = dataset.with_format("arrow")[:]
    return _named(table, dataset.features.to_dict())


def read_hf(path: Path, *, split: str | None = None) -> pl.DataFrame:
    """A saved folder as a frame; the ``datasets`` library is not needed.

    :param split: of a folder that holds several.
    :raises DataError: no such folder, or one that ``save_to_disk`` did not write.
    """
    if (path / "dataset_dict.json").is_file():
        splits = json.loads((path / "dataset_dict.json").read_text("utf-8"))["splits"]
        return read_hf(path / _split(splits, split))
    try:
        state = json.loads((path / "state.json").read_text("utf-8"))
        facts = json.loads((path / "dataset_info.json").read_text("utf-8"))
        parts = [pa.ipc.open_stream(pa.memory_map(str(path / f["filename"]))).read_all() for f in state["_data_files"]]
    except (OSError, ValueError, KeyError, pa.ArrowInvalid) as error:
        raise DataError(
            f"this is no folder that datasets' save_to_disk wrote: {error}.",
            do="Give the folder that has state.json and dataset_info.json in it.",
        ) from None
    table = pa.concat_tables(parts)
    if state.get("_indices_data_files"):
        indices = [
            pa.ipc.open_stream(pa.memory_map(str(path / f["filename"]))).read_all()
            for f in state["_indices_data_files"]
        ]
        table = table.take(pa.concat_tables(indices).column(0))
    return _named(table, facts.get("features") or {})


def _split(known: list[str], asked: str | None) -> str:
    if asked in known:
        return str(asked)
    if asked is None and len(known) == 1:
        return known[0]
    raise DataError(
        "there are several splits, and none was named." if asked is None else f"there is no split {asked!r}.",
        where="split",
        do=did_you_mean(asked or "", known),
    )


def _named(table: pa.Table, features: Mapping[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(table))
    for column, feature in features.items():
        inner, lists = feature, False
        if isinstance(inner, list):
            inner, lists = inner[0], True
        elif isinstance(inner, Mapping) and inner.get("_type") in ("Sequence", "List", "LargeList"):
            inner, lists = inner["feature"], True
        if isinstance(inner, Mapping) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            names = dict(enumerate(inner["names"]))  # -1 stands for a missing label
            words = pl.element() if lists else pl.col(column)
            words = words.replace_strict(names, default=None, return_dtype=pl.String)
            frame = frame.with_columns((pl.col(column).list.eval(words) if lists else words).alias(column))
    return frame
