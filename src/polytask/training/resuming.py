"""Beginning a run in a folder, and finding everything again after a kill.

The folder holds the resolved configuration, where the data came from, and a digest of the encoded rows. Data are
not copied: files are read again where they were, frames must be handed over again, and both must be what they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from polytask.data.pieces import Frame
from polytask.errors import RunError
from polytask.record.folder import RunFolder
from polytask.record.run import RunRecord, SourceFacts
from polytask.training.artefact import VERSION
from polytask.training.config import LearnerConfig
from polytask.training.sources import Data, Prepared, data_digest, file_digest, read_sources, source_facts

Given = tuple[Data | None, Mapping[str, Frame] | None]


def new_record(config: LearnerConfig, prepared: Prepared, train: Given, validation: Given) -> RunRecord:
    """The record of a run that begins; it is on disk before the first step.

    :param train, validation: what the user gave, and the tables it was read as.
    """
    sources: list[SourceFacts] = []
    roles: tuple[tuple[Given, Literal["train", "validation"]], ...] = ((train, "train"), (validation, "validation"))
    for (data, frames), role in roles:
        if frames is not None:
            sources += source_facts(data, frames, role)
    return RunRecord(
        polytask=VERSION,
        config=config.to_json(),
        seed=config.recipe.options.seed,
        sources=tuple(sources),
        encoded=data_digest(prepared),
        train_rows=len(prepared.train),
        validation_rows=0 if prepared.validation is None else len(prepared.validation),
        parameters=0,
    )


@dataclass(frozen=True)
class Opened:
    """A run that was found again, with its data."""

    record: RunRecord
    config: LearnerConfig
    train: dict[str, Frame]
    validation: dict[str, Frame] | None


def open_run(folder: Path, train: Data | None, validation: Data | None, *, lazy: bool = False) -> Opened:
    """Read a run and its data.

    :param train, validation: default: the files that the run read.
    :raises RunError: no run, files that changed, or data that must be handed over again.
    """
    record = RunRecord.read(RunFolder.open(folder).path)
    config = LearnerConfig.from_json(record.config)
    read_side = partial(read_sources, lazy=lazy, tasks=config.tasks)
    tables = read_side(train) if train is not None else _again(folder, record, "train", lazy=lazy)
    if tables is None:
        raise RunError("the record names no training data.", where=str(folder))
    if validation is not None:
        return Opened(record, config, tables, read_side(validation))
    return Opened(record, config, tables, _again(folder, record, "validation", lazy=lazy))


def check_same_data(folder: Path, record: RunRecord, prepared: Prepared) -> None:
    """A resumed run must see the rows that it began with.

    :raises RunError: they encode to something else.
    """
    if data_digest(prepared) != record.encoded:
        raise RunError(
            f"the data are not those that the run began with ({record.train_rows} training and "
            f"{record.validation_rows} validation rows then, {len(prepared.train)} and "
            f"{0 if prepared.validation is None else len(prepared.validation)} now, or other values in them).",
            where=str(folder),
            do="Hand over the same tables, or begin a new run.",
        )


def _again(
    folder: Path, record: RunRecord, role: Literal["train", "validation"], *, lazy: bool
) -> dict[str, Frame] | None:
    facts = [source for source in record.sources if source.role == role]
    if not facts:
        return None
    for source in facts:
        _check_file(folder, source)
    return read_sources({source.name: Path(source.origin) for source in facts}, lazy=lazy)


def _check_file(folder: Path, source: SourceFacts) -> None:
    what = f"the {source.role} table {source.name!r}"
    if not source.origin:
        raise RunError(
            f"{what} was handed over as a frame, and runs keep no copy of the data.",
            where=str(folder),
            do=f"Hand it over again: resume(run, {'train' if source.role == 'train' else 'train, validation'}).",
        )
    path = Path(source.origin)
    if not path.is_file():
        raise RunError(f"{what} is not where it was: {path}.", where=str(folder), do="Put the file back.")
    if path.stat().st_size != source.size or file_digest(path) != source.sha256:
        raise RunError(
            f"{what} has changed since the run began: {path}.",
            where=str(folder),
            do="Put the old file back, or begin a new run.",
        )
