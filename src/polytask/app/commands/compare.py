"""``polytask compare``: does sharing help, for which task, at what cost?"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import typer

from polytask.app.config import Config, read_config
from polytask.app.guard import keeping, tell
from polytask.app.options import ConfigFile, Overwrite, Report, RunFolderOption, Set
from polytask.app.rows import open_rows
from polytask.app.run_folder import place_of, write_config, write_page
from polytask.app.talk import progress
from polytask.record.folder import refuse_existing
from polytask.report.terminal import print_comparison
from polytask.studies.compare import compare
from polytask.training.learner import Learner

Seeds = Annotated[int | None, typer.Option("--seeds", help="Training runs per contender; at least 3 for a verdict.")]
Splits = Annotated[
    int | None, typer.Option("--splits", help="Also repeat over so many random splits, about other training samples.")
]
Act = Annotated[bool, typer.Option("--act", help="Tasks that were hurt keep their single-task model in the artefact.")]
Boosting = Annotated[bool, typer.Option("--boosting", help="Also train boosted trees (LightGBM), one per target.")]


def command(
    config: ConfigFile,
    run: RunFolderOption = None,
    seeds: Seeds = None,
    splits: Splits = None,
    act: Act = False,
    boosting: Boosting = False,
    overwrite: Overwrite = False,
    report: Report = True,
    changes: Set = None,
) -> None:
    """Train the model, the same tasks alone, and others, over seeds; judge every task.

    The verdicts go to stdout; the record (compare.json), the page (report.html), the model (model/) and the resolved
    configuration (config.yaml) into the run folder.
    """
    resolved = _with_flags(read_config(config, changes or ()), seeds, splits, act, boosting)
    place = place_of(run, config)
    refuse_existing(place, overwrite=overwrite)
    opened = open_rows(resolved)
    with keeping("A comparison is written when it is whole: nothing is kept."), progress("compare") as say:
        record = compare(
            Learner.from_config(opened.learner),
            opened.train,
            validation=opened.validation,
            test=opened.test,
            split=opened.split,
            options=resolved.compare,
            others={name: Learner.from_config(other) for name, other in opened.others.items()},
            run=place,
            overwrite=overwrite,
            title=resolved.title or opened.about,
            command=_told(config, resolved.compare.seeds, changes or ()),
            say=say,
        )
    write_config(place, resolved)
    print_comparison(record)
    if report:
        write_page(place)
    tell(f"Written to {place}: the record, and the model of the best seed in {place / 'model'}.")


def _with_flags(config: Config, seeds: int | None, splits: int | None, act: bool, boosting: bool) -> Config:
    given = {"seeds": seeds, "splits": splits, "act": act or None, "boosting": boosting or None}
    changed = {key: value for key, value in given.items() if value is not None}
    return dataclasses.replace(config, compare=dataclasses.replace(config.compare, **changed))


def _told(config: Path, seeds: int, changes: list[str] | tuple[str, ...]) -> str:
    words = ["polytask", "compare", str(config), "--seeds", str(seeds)]
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])
