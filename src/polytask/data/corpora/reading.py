"""One door for every format that corpora come in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from polytask.data.content import content_of
from polytask.data.corpora.choosing import Labels, chosen
from polytask.data.corpora.conll import read_conll
from polytask.data.corpora.conllu import LABELS, read_conllu
from polytask.data.corpora.huggingface import read_hf
from polytask.data.corpora.jsonl import read_jsonl
from polytask.data.files import ARROW, DELIMITED, PARQUET, ending_of, existing, read_file
from polytask.errors import ConfigError, DataError, UserError, did_you_mean
from polytask.tokens.splitting import split_texts

Reader: TypeAlias = Callable[..., pl.DataFrame]


def _read_table(path: Path, *, strings: Sequence[str] = ()) -> pl.DataFrame:
    """A CSV, Parquet or Arrow file.

    :param strings: columns of a CSV that stay text whatever they look like.
    """
    return read_file(path, ending_of(path), strings)


def read_lines(path: Path) -> pl.DataFrame:
    """Raw text, one text per line, as the column ``text``; blank lines are left out.

    :raises DataError: empty, or not UTF-8.
    """
    lines = content_of(path, "one text per line", "text").decode("utf-8").split("\n")
    texts = pl.Series("text", lines, dtype=pl.String).str.strip_chars()
    return texts.filter(texts != "").to_frame()


FORMATS: Mapping[str, Reader] = {
    "conllu": read_conllu,
    "conll": read_conll,
    "jsonl": read_jsonl,
    "lines": read_lines,
    "csv": _read_table,
    "parquet": _read_table,
    "arrow": _read_table,
    "hf": read_hf,
}
"""Name in configurations -> reader; its keyword arguments are the options of the format."""
ENDINGS: Mapping[str, tuple[str, ...]] = {
    "conllu": (".conllu", ".conllu.gz"),
    "conll": (".conll", ".iob2", ".iob", ".bio", ".conll.gz", ".iob2.gz", ".iob.gz", ".bio.gz"),
    "jsonl": (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"),
    "csv": DELIMITED,
    "parquet": PARQUET,
    "arrow": ARROW,
}
TEXTUAL = ("conllu", "conll", "jsonl")
"""Formats that only corpora come in."""
EVERY_ENDING = tuple(end for ends in ENDINGS.values() for end in ends)
OWN = ("path", "format", "tasks", "words", "text")
"""Keys of a described corpus that are no options of its format."""


def read_corpus(
    path: str | Path,
    format: str | None = None,  # noqa: A002  # the key of the configuration
    *,
    tasks: Labels | None = None,
    columns: Mapping[str, Sequence[str]] | None = None,
    words: str | int | None = None,
    text: str | None = None,
    **options: Any,
) -> pl.DataFrame:
    """A corpus as one row per sentence or document: lists of words, and of labels of the words.

    :param path: a file (it may be gzipped), or the folder of a saved data set.
    :param format: ``conllu``, ``conll``, ``jsonl``, ``lines`` (a text on each line), ``csv``, ``parquet``, ``arrow`` or
        ``hf``; default: by the ending.
    :param tasks: the tasks that the corpus labels, each with its column in the file (or several, or the number of a
        column of CoNLL, from 0): the labels get the names that tasks look for, and other labels are left out. None: all
        columns stay as they are.
    :param columns: the target columns of every declared task; default: the name of the task.
    :param words: the column that holds the words; default ``words``, else ``tokens``. Of CoNLL its number.
    :param text: the column that holds raw text; default ``text``, else ``sentence``.
    :param options: of the format: ``separator`` (conll), ``split`` (hf), ``strings`` (csv).
    :raises DataError: a file that cannot be used, with file and line. :raises ConfigError: unknown format or option.
    """
    place = Path(path).expanduser()
    try:
        kind = _format_of(place, format)
        reader = FORMATS[kind]
        if kind == "conll" and words is not None:
            options["words"] = words
        _check_options(kind, reader, options)
        if kind != "hf":
            existing(place, EVERY_ENDING)
        elif not place.is_dir():
            raise DataError("there is no such folder.", do="Give the folder that save_to_disk wrote.")
        frame = reader(place, **options)
        if kind != "conll":
            frame = _renamed(frame, "words", words, ("tokens",))
        frame = _renamed(frame, "text", text, ("sentence",) if "words" not in frame.columns else ())
        if "words" not in frame.columns and "text" in frame.columns and "words" in _asked(tasks):
            frame = frame.with_columns(split_texts(frame["text"]).alias("words"))
        numbered = [column for column in frame.columns if column.isdigit()] if kind == "conll" else []
        return chosen(frame, tasks, columns, LABELS if kind == "conllu" else numbered)
    except UserError as error:
        raise error.at(str(path)) from None


def is_corpus(source: object) -> bool:
    """Whether a source is a described corpus (``{path: ..., format: ..., tasks: ...}``), or a file of text."""
    if isinstance(source, Mapping):
        return isinstance(source.get("path"), str | Path)
    if not isinstance(source, str | Path):
        return False
    name = Path(source).name.lower()
    saved = ("state.json", "dataset_dict.json")
    return any(name.endswith(ENDINGS[kind]) for kind in TEXTUAL) or any((Path(source) / f).is_file() for f in saved)


def read_described(
    source: str | Path | Mapping[str, Any], columns: Mapping[str, Sequence[str]] | None = None
) -> pl.DataFrame:
    """A corpus from its path, or from its description in a configuration."""
    if not isinstance(source, Mapping):
        return read_corpus(source)
    options = {key: value for key, value in source.items() if key not in OWN}
    tasks = source.get("tasks")
    if tasks is not None and not isinstance(tasks, Mapping):
        raise ConfigError(
            f"expected a mapping of tasks to columns, found {tasks!r}.", where="tasks", do="For example: {pos: upos}."
        )
    return read_corpus(
        source["path"],
        source.get("format"),
        tasks=tasks,
        columns=columns,
        words=source.get("words"),
        text=source.get("text"),
        **options,
    )


def _format_of(path: Path, asked: str | None) -> str:
    if asked is not None:
        if asked not in FORMATS:
            raise ConfigError(f"unknown format {asked!r}.", where="format", do=did_you_mean(asked, FORMATS))
        return asked
    if path.is_dir():
        return "hf"
    lower = path.name.lower()
    for kind, endings in ENDINGS.items():
        if lower.endswith(endings):
            return kind
    raise ConfigError(
        f"the ending of {path.name!r} is no known format.",
        where="format",
        do=f"Say which it is: format: {', '.join(FORMATS)}.",
    )


def _asked(tasks: Labels | None) -> list[str | int]:
    """All columns that tasks ask for."""
    given = (tasks or {}).values()
    return [column for own in given for column in ([own] if isinstance(own, str | int) else own)]


def _check_options(kind: str, reader: Reader, options: Mapping[str, Any]) -> None:
    known = [name for name in inspect.signature(reader).parameters if name != "path"]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"unknown key {name!r} of the format {kind}.", where=name, do=did_you_mean(name, {*known, *OWN})
            )


def _renamed(frame: pl.DataFrame, name: str, asked: str | int | None, usual: Sequence[str]) -> pl.DataFrame:
    """The frame with the column of words, or of text, under the name that is looked for."""
    if asked is not None:
        if asked not in frame.columns:
            raise DataError(f"there is no column {asked!r}.", where=name, do=did_you_mean(str(asked), frame.columns))
        return frame if asked == name else frame.drop(name, strict=False).rename({str(asked): name})
    found = next((column for column in usual if column in frame.columns), None)
    return frame if name in frame.columns or found is None else frame.rename({found: name})
