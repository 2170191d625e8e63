"""``polytask list``: what can be named in a configuration; also the generated pages of the docs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from polytask.app.facts import CATALOGUES, columns_of, field_facts
from polytask.app.guard import tell
from polytask.app.pages import write_pages
from polytask.catalogue import Catalogue
from polytask.datasets import DATASETS
from polytask.errors import UnknownNameError, did_you_mean

DATA = "datasets"

What = Annotated[
    str | None, typer.Argument(metavar="[WHAT]", help=f"{', '.join(CATALOGUES)} or {DATA}; default: all, in short.")
]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="DOCS", help="Write the generated pages into this folder instead.")
]


def command(what: What = None, markdown: Markdown = None) -> None:
    """List what can be named in a configuration."""
    if markdown is not None:
        for page in write_pages(markdown):
            tell(f"Written: {page}")
        return
    if what is not None and what not in (*CATALOGUES, DATA):
        raise UnknownNameError(f"{what!r} is no list.", do=did_you_mean(what, (*CATALOGUES, DATA)))
    console = Console(highlight=False)
    for name, catalogue in CATALOGUES.items():
        if what in (None, name):
            console.print(_table(name, catalogue, fields=what is not None))
    if what in (None, DATA):
        console.print(_datasets())


def _table(name: str, catalogue: Catalogue[object], *, fields: bool) -> Table:
    table = _plain(name)
    more = columns_of(name)
    for row in catalogue.rows():
        table.add_row(row.name, row.summary + (f" ({row.paper})" if row.paper is not None and fields else ""))
        if fields and more:
            table.add_row("", "; ".join(f"{what}: {tell(catalogue.find(row.name))}" for what, tell in more.items()))
        if fields:
            for field in field_facts(catalogue.find(row.name)):
                default = "required" if field.default is None else f"default {field.default}"
                table.add_row("", f"  {field.name}: {field.kind}, {default}. {field.text}")
    return table


def _datasets() -> Table:
    table = _plain(DATA)
    for name, entry in DATASETS.items():
        table.add_row(name, f"{entry.origin.title}. polytask.datasets.{entry.call}")
    return table


def _plain(name: str) -> Table:
    table = Table(box=None, title=name, title_justify="left", title_style="bold", show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table
