"""``polytask train``: one model for all tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polytask.app.config import Config
from polytask.app.guard import keeping, tell
from polytask.app.options import Overwrite, Report, RunFolderOption, Set
from polytask.app.reading import read_config
from polytask.app.rows import Opened, Sides, divide, open_rows
from polytask.app.run_folder import CONFIG, place_of, write_config, write_page
from polytask.app.saved import MODEL
from polytask.app.tracking import Tracked
from polytask.errors import ConfigError, RunError
from polytask.record.folder import refuse_existing
from polytask.training.events import Event, Listener, RunStarted
from polytask.training.learner import Learner, resume
from polytask.training.listeners import ProgressLines
from polytask.training.ranks import is_first_process

MaybeConfig = Annotated[Path | None, typer.Argument(metavar="CONFIG", help="The configuration, a YAML file.")]
Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="NAME", help="Also log to tensorboard, mlflow or wandb; repeatable."),
]
Resume = Annotated[
    Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped; without CONFIG.")
]
StopHere = Annotated[
    bool, typer.Option("--stop-here", help="With --resume: train no further, and keep the best epoch so far.")
]


def command(
    config: MaybeConfig = None,
    *,
    run: RunFolderOption = None,
    resumed: Resume = None,
    stop_here: StopHere = False,
    overwrite: Overwrite = False,
    report: Report = True,
    track: Track = None,
    changes: Set = None,
) -> None:
    """Train one model for all tasks.

    Writes the run folder: record, checkpoints, the resolved configuration (config.yaml), the saved model (model/) and
    the page (report.html). Scores on the test rows, if there are any, go to stdout.
    """
    if resumed is not None:
        _refuse_beside_resume(config, run, changes, overwrite=overwrite)
        place, resolved = resumed, _config_of(resumed)
    elif stop_here:
        raise ConfigError("--stop-here keeps what a run has come to; found no --resume RUN.", do="Name the run.")
    elif config is None:
        raise ConfigError("expected CONFIG, or --resume RUN; found neither.", do="polytask init writes a CONFIG.")
    else:
        place, resolved = place_of(run, config), read_config(config, changes or ())
        refuse_existing(place, overwrite=overwrite)
    opened = open_rows(resolved)
    sides = divide(opened, opened.learner.recipe.options.seed)
    listeners: list[Listener] = [_ConfigKeeper(place, resolved), ProgressLines()]
    listeners += [Tracked(name, place, resolved.to_mapping()) for name in track or ()]
    with keeping(f"Up to the last checkpoint all is kept; go on with: polytask train --resume {place}"):
        if resumed is not None:
            learner = resume(place, sides.train, sides.validation, listeners=listeners, stop_here=stop_here)
        else:
            learner = _fit(opened, sides, place, listeners, overwrite=overwrite)
    _finish(learner, sides, place, report=report)


class _ConfigKeeper:
    """Puts the configuration beside the record as soon as there is one."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            write_config(self.folder, self.config)


def _fit(opened: Opened, sides: Sides, place: Path, listeners: list[Listener], *, overwrite: bool) -> Learner:
    learner = Learner.from_config(opened.learner)
    return learner.fit(
        sides.train, sides.validation, test=sides.test, run=place, overwrite=overwrite, listeners=listeners
    )


def _finish(learner: Learner, sides: Sides, place: Path, *, report: bool) -> None:
    if not is_first_process():
        return
    if sides.test is not None:
        print(learner.evaluate(sides.test))
    learner.save(place / MODEL, overwrite=True)
    if report:
        write_page(place)
    tell(f"Model: {place / MODEL}")


def _config_of(run: Path) -> Config:
    if not run.is_dir():
        raise RunError("there is no such run folder.", where=str(run), do="Check the path.")
    if not (run / CONFIG).is_file():
        raise RunError(
            f"there is no {CONFIG} in it.", where=str(run), do="It was stopped before its first step: begin it again."
        )
    return read_config(run / CONFIG)


def _refuse_beside_resume(config: Path | None, run: Path | None, changes: list[str] | None, *, overwrite: bool) -> None:
    given = {"CONFIG": config, "--run": run, "--set": changes, "--overwrite": overwrite or None}
    if extra := [name for name, value in given.items() if value]:
        raise ConfigError(f"a run goes on as it began; found {', '.join(extra)} beside --resume.", do="Leave that out.")
