"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration, a YAML file.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model, or the run folder that holds one.")]
TableFile = Annotated[
    Path, typer.Argument(metavar="TABLE", help="CSV, TSV, Parquet or Arrow; a corpus (.conllu, .conll, .jsonl).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what an earlier run left there.")]
RunFolderOption = Annotated[
    Path | None, typer.Option("--run", metavar="DIR", help="Run folder. Default: runs/ and the name of CONFIG.")
]
Report = Annotated[bool, typer.Option("--report/--no-report", help="Write report.html into the run folder.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of CONFIG, as in training.epochs=5; repeatable."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Also import third-party classes that MODEL names, which runs their code.")
]
