"""What commands say while they work: on stderr, as a bar on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from polytask.app.guard import tell
from polytask.errors import plural
from polytask.studies.execute import Say

PERIOD = 10.0
"""Seconds between plain lines."""


@contextmanager
def progress(what: str) -> Iterator[Say]:
    """A function that is told what runs next, how much is done, and how much there is.

    :param what: heading of the bar, or of the lines.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def say(text: str, done: int, total: int) -> None:
            bar.update(task, description=text, completed=done, total=total)

        yield say


def _lines(what: str) -> Say:
    last = -PERIOD

    def say(text: str, done: int, total: int) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= PERIOD:
            last = time.monotonic()
            tell(f"{what}: {done} of {plural(total, 'model')}; {text}")

    return say
