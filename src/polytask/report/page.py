"""A run folder -> one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from polytask.errors import RunError
from polytask.record.compare import COMPARE_FILE, CompareRecord
from polytask.record.folder import write_file
from polytask.record.run import RUN_FILE, RunRecord
from polytask.report.comparison import render_comparison
from polytask.report.training import render_training

REPORT_FILE = "report.html"


def render(record: CompareRecord | RunRecord) -> str:
    """The page of a comparison or of one training run.

    :raises MissingExtraError: the extra ``[report]`` is not installed.
    """
    return render_comparison(record) if isinstance(record, CompareRecord) else render_training(record)


def write_report(run_folder: str | Path) -> Path:
    """Read what is in a run folder and write ``report.html`` beside it, whole or not at all.

    :returns: the path of the page.
    :raises RunError: the folder holds neither a comparison nor a training run.
    :raises MissingExtraError: the extra ``[report]`` is not installed.
    """
    folder = Path(run_folder)
    if (folder / COMPARE_FILE).is_file():
        text = render(CompareRecord.read(folder))
    elif (folder / RUN_FILE).is_file():
        text = render(RunRecord.read(folder))
    else:
        raise RunError(
            f"there is neither {COMPARE_FILE} nor {RUN_FILE} in it.",
            where=str(folder),
            do="Give the folder that `polytask compare` or `polytask train` wrote.",
        )
    path = folder / REPORT_FILE
    write_file(path, text.encode())
    return path
