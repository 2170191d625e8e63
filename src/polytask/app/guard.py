"""Between a command and the shell: errors as messages and exit codes, warnings as tidy lines, no traceback."""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

import typer

from polytask.errors import PolytaskError

P = ParamSpec("P")
DEBUG = "POLYTASK_DEBUG"
INTERRUPTED = 130


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """The command, ending with a message and an exit code instead of an exception."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with tidy_warnings():
            try:
                command(*args, **kwargs)
                sys.stdout.flush()
            except (typer.Exit, typer.Abort):
                raise
            except BrokenPipeError:
                _silence_stdout()
            except KeyboardInterrupt as stop:
                tell(" ".join(["Stopped.", *map(str, stop.args)]))
                raise typer.Exit(INTERRUPTED) from None
            except Exception as error:
                raise typer.Exit(report(error)) from None

    return run


def report(error: Exception) -> int:
    """Tell the user what went wrong; the exit code."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, PolytaskError):
        tell(f"Error: {error}")
        return error.exit_code
    reason = str(error).strip().split("\n")[0]
    tell(f"Error: unexpected {type(error).__name__}{f': {reason}' if reason else ''}")
    tell(f"  Set {DEBUG}=1 for the traceback, and please report it.")
    return 1


@contextmanager
def keeping(note: str) -> Iterator[None]:
    """Ctrl-C inside says what is kept.

    :param note: a sentence.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(note) from None


@contextmanager
def tidy_warnings() -> Iterator[None]:
    """Python warnings inside are one line each on stderr, however often they come."""
    told: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        line = f"Warning: {' '.join(str(message).split())}"
        if line not in told:
            told.add(line)
            tell(line)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show
        yield


def tell(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)


def _silence_stdout() -> None:
    """Whoever read the output has gone: nothing more to say, and nothing for Python to say at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
