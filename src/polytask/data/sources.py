"""Tables as people have them, as polars frames."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from polytask.data.corpora.huggingface import from_hf_dataset, is_hf_dataset
from polytask.data.corpora.reading import is_corpus, read_described
from polytask.data.files import ending_of, existing, read_file, scan_file, unreadable
from polytask.errors import DataError, UserError

Source: TypeAlias = Any
"""A path (CSV, TSV, Parquet, Arrow/Feather; CSV may be gzipped), a polars or pandas frame, or a dict of arrays.

Of texts also CoNLL-U, CoNLL columns, JSON lines, a data set of Hugging Face, or a mapping ``{path, format, tasks,
...}`` (:func:`polytask.data.corpora.read_corpus`).
"""


def read(
    source: Source,
    *,
    name: str | None = None,
    text: Collection[str] = (),
    columns: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """A table in memory.

    The types of a CSV are decided on whole columns. Cells of text that mean "missing" (empty, NA, N/A, NaN, null, None,
    ?) are null; so are ``-`` and ``.`` among numbers.

    :param source: a path, a polars frame (lazy or not), a pandas frame, or a dict of one-dimensional arrays.
    :param name: what the table is called in messages; default: the path.
    :param text: columns of a CSV that stay text whatever they look like.
    :param columns: the target columns of every task, for corpora that say which tasks they label.
    :raises DataError: a table that cannot be used, with file, row and column and what to do.

    >>> read({"a": [1, 2], "b": ["x", "y"]}).shape
    (2, 2)
    """
    place = name or _called(source)
    try:
        frame = _load(source, text, columns)
    except UserError as error:
        raise error.at(place) from None
    if frame.width == 0:
        raise DataError("the table has no columns.", where=place)
    if frame.height == 0:
        raise DataError("the table has a header and no rows.", where=place, do="Add rows below the header.")
    return frame


def scan(
    source: Source, *, name: str | None = None, columns: Mapping[str, Sequence[str]] | None = None
) -> pl.LazyFrame:
    """A table that is read piece by piece when it is needed, for files larger than memory.

    Parquet, Arrow and CSV files stay on disk; anything else is read and made lazy. A large Parquet file is the better
    choice: a CSV is parsed anew on every pass, and its mistakes are reported without line numbers.

    :raises DataError: as :func:`read`.
    """
    if isinstance(source, pl.LazyFrame):
        return source
    if not isinstance(source, str | Path) or is_corpus(source):
        return read(source, name=name, columns=columns).lazy()
    place = name or str(source)
    try:
        path = existing(Path(source))
        ending = ending_of(path)
        if ending.endswith(".gz"):
            return read(source, name=name).lazy()
        frame = scan_file(path, ending)
        if not frame.collect_schema().names() or frame.head(1).collect().is_empty():
            raise DataError("the table has no rows.")
    except DataError as error:
        raise error.at(place) from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise unreadable(error).at(place) from None
    return frame


def _load(source: Source, text: Collection[str], columns: Mapping[str, Sequence[str]] | None) -> pl.DataFrame:
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if is_corpus(source):
        return read_described(source, columns)
    if is_hf_dataset(source):
        return from_hf_dataset(source)
    if isinstance(source, Mapping):
        return _from_arrays(source)
    if isinstance(source, str | Path):
        path = existing(Path(source))
        return read_file(path, ending_of(path), text)
    if type(source).__module__.split(".")[0] == "pandas":
        return _from_pandas(source)
    raise DataError(
        f"expected a path, a polars or pandas frame, or a dict of arrays, found {type(source).__name__}.",
    )


def _called(source: Source) -> str:
    """What a table is called in messages."""
    if isinstance(source, Mapping):
        return str(source["path"]) if is_corpus(source) else "table"
    return str(source) if isinstance(source, str | Path) else "table"


def _from_arrays(arrays: Mapping[Any, Any]) -> pl.DataFrame:
    columns = []
    for key, values in arrays.items():
        array = values.to_numpy() if isinstance(values, pl.Series) else np.asarray(values)
        if array.ndim != 1:
            raise DataError(
                f"expected an array of one dimension, found {array.ndim}.",
                where=f"column {str(key)!r}",
                do="Give each column its own name and array.",
            )
        columns.append(_series(str(key), array))
    if len({series.name for series in columns}) < len(columns):
        raise DataError("two columns have the same name.", do="Rename one of them.")
    lengths = {series.name: len(series) for series in columns}
    if len(set(lengths.values())) > 1:
        raise DataError(f"the columns have different lengths: {lengths}.")
    return pl.DataFrame(columns)


def _series(name: str, array: np.ndarray[Any, Any]) -> pl.Series:
    """An array as a column; NaN is missing."""
    try:
        if array.dtype == object:
            plain = [None if isinstance(v, float) and math.isnan(v) else v for v in array.tolist()]
            return pl.Series(name, plain, strict=True)
        series = pl.Series(name, array)
    except (TypeError, ValueError, pl.exceptions.PolarsError):
        kinds = sorted({type(value).__name__ for value in array.tolist()})
        raise DataError(
            f"expected values of one type, found {', '.join(kinds[:5])}.",
            where=f"column {name!r}",
            do="Turn them all into numbers, or all into text.",
        ) from None
    return series.fill_nan(None) if series.dtype.is_float() else series


def _from_pandas(source: Any) -> pl.DataFrame:
    names = [str(column) for column in source.columns]
    _refuse_doubles(names)
    columns = []
    for position, name in enumerate(names):
        values = source.iloc[:, position]
        try:
            columns.append(pl.from_pandas(values).alias(name))
        except Exception as error:  # pyarrow has a family of its own, and pandas raises what its extensions raise
            raise DataError(
                f"the column cannot be converted: {error}.",
                where=f"column {name!r}",
                do="It may hold values of several types; turn them all into numbers, or all into text.",
            ) from None
    return pl.DataFrame(columns)


def _refuse_doubles(names: list[str]) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise DataError(
                f"two columns are called {name!r}: columns {names.index(name) + 1} and {position + 1}.",
                do="Rename one of them.",
            )
