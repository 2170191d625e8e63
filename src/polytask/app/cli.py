"""The command line. A command's module is imported when the command runs, so that help comes at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from polytask.app.guard import guarded, report

COMMANDS = {
    "init": "Look at a table and write a configuration.",
    "check": "Say what becomes of every column and label.",
    "train": "Train one model for all tasks.",
    "compare": "Find out which tasks sharing helps or hurts.",
    "describe": "Show which weights tasks share.",
    "evaluate": "Score a saved model on a table with labels.",
    "predict": "Predict with a saved model.",
    "report": "Write the HTML report of a run again.",
    "list": "List what can be named in a configuration.",
    "schema": "Print the configuration's JSON schema.",
    "version": "Print the version.",
}
"""Every command with its line of help: ``polytask.app.commands.<name>`` holds a function ``command``."""


class Deferred(TyperCommand):
    """A command that is known by name and help alone until it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command."""
        name = str(self.name)
        module = importlib.import_module(f"polytask.app.commands.{name}")
        only = typer.Typer(add_completion=False, rich_markup_mode=None)
        only.command(name)(guarded(module.command))
        return typer.main.get_command(only).make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    """All commands, deferred."""

    def __init__(self, **options: Any) -> None:
        deferred = {name: Deferred(name, callback=None, help=text) for name, text in COMMANDS.items()}
        super().__init__(**{**options, "commands": deferred})


app = typer.Typer(
    cls=Commands, no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.callback()
def polytask() -> None:
    """One model, many tasks, an honest verdict.

    Begin with `polytask init TABLE --targets a,b,c`, then `polytask compare polytask.yaml`.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the console script.

    :param argv: the words after ``polytask``; default: those of this process.
    :returns: 0, or 2 for input that cannot be used, 1 for a failure, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        typer.main.get_command(app).main(args=arguments, prog_name="polytask")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:  # importing a command failed
        return report(error)
    return 0
