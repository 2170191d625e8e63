"""What commands put into a run folder beside the record."""

from __future__ import annotations

from pathlib import Path

from polytask.app.config import Config
from polytask.app.guard import tell
from polytask.app.yaml_file import dumped
from polytask.errors import MissingExtraError
from polytask.record.folder import write_file
from polytask.report.page import write_report

CONFIG = "config.yaml"


def place_of(run: Path | None, config: Path) -> Path:
    """The run folder: as asked for, or ``runs/`` and the name of the configuration."""
    return run if run is not None else Path("runs") / config.stem


def write_config(folder: Path, config: Config) -> None:
    """The resolved configuration, with absolute paths: it can be run again from anywhere."""
    write_file(folder / CONFIG, dumped(config.to_mapping()).encode())


def write_page(folder: Path) -> None:
    """The HTML report; a hint where its packages are not installed."""
    try:
        page = write_report(folder)
    except MissingExtraError as error:
        tell(f"No report: {error}")
        return
    tell(f"Report: {page}")
