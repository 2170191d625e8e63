"""``polytask compare``: does sharing help, for which task, at what cost?"""

from __future__ import annotations

import shlex
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from polytask.app.guard import keeping, tell
from polytask.app.options import ConfigFile, Overwrite, Report, RunFolderOption, Set
from polytask.app.reading import read_config
from polytask.app.rows import open_rows
from polytask.app.run_folder import place_of, write_config, write_page
from polytask.app.talk import progress
from polytask.errors import MissingExtraError
from polytask.record.folder import refuse_existing
from polytask.report.terminal import print_comparison
from polytask.studies.compare import compare
from polytask.studies.options import CompareOptions
from polytask.training.learner import Learner

Seeds = Annotated[int | None, typer.Option("--seeds", help="Training runs per contender; at least 3 for a verdict.")]
Splits = Annotated[
    int | None, typer.Option("--splits", help="Also repeat over so many random splits, about other training samples.")
]
Act = Annotated[bool, typer.Option("--act", help="Tasks that were hurt keep their single-task model in the artefact.")]
Boosting = Annotated[bool, typer.Option("--boosting", help="Also train boosted trees (LightGBM), one per target.")]


def command(
    config: ConfigFile,
    *,
    run: RunFolderOption = None,
    seeds: Seeds = None,
    splits: Splits = None,
    act: Act = False,
    boosting: Boosting = False,
    overwrite: Overwrite = False,
    report: Report = True,
    changes: Set = None,
) -> None:
    """Find out which tasks sharing helps or hurts.

    Trains the requested model, the same tasks alone, and other contenders, over seeds. The verdicts go to stdout; the
    record (compare.json), the page (report.html), the model (model/) and the resolved configuration (config.yaml) into
    the run folder.
    """
    resolved = read_config(config, changes or ())
    resolved = replace(resolved, compare=_with_flags(resolved.compare, seeds, splits, act=act, boosting=boosting))
    place = place_of(run, config)
    refuse_existing(place, overwrite=overwrite)
    _refuse_missing_extra(resolved.compare)
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
            command=_told(config, resolved.compare, changes or []),
            say=say,
        )
    write_config(place, resolved)
    print_comparison(record)
    if report:
        write_page(place)
    tell(f"Written to {place}: the record, and the model of the best seed in {place / 'model'}.")


def _with_flags(
    options: CompareOptions, seeds: int | None, splits: int | None, *, act: bool, boosting: bool
) -> CompareOptions:
    return replace(
        options,
        seeds=options.seeds if seeds is None else seeds,
        splits=options.splits if splits is None else splits,
        act=options.act or act,
        boosting=options.boosting or boosting,
    )


def _refuse_missing_extra(options: CompareOptions) -> None:
    """At once, not after minutes of training, and before an old run is replaced."""
    if options.boosting and find_spec("lightgbm") is None:
        raise MissingExtraError("lightgbm", "boosting", "The boosting contender")


def _told(config: Path, options: CompareOptions, changes: list[str]) -> str:
    """The command that makes this comparison again."""
    words = ["polytask", "compare", str(config), "--seeds", str(options.seeds)]
    words += ["--splits", str(options.splits)] if options.splits else []
    words += [flag for flag, given in (("--act", options.act), ("--boosting", options.boosting)) if given]
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])
