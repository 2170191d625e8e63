"""``polytask report``: the HTML page of a run folder, again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polytask.report.page import write_report

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `polytask compare` or `train` wrote.")]


def command(run: Run) -> None:
    """Write the HTML report of a run again.

    Prints its path.
    """
    print(write_report(run))
