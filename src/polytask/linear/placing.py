"""Which model answers which row of ``predict``, and in which form the answers go back."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import _num_samples

from polytask.errors import DataError
from polytask.linear.arrays import Codes
from polytask.linear.forms import is_lists, read_tasks, stack


@dataclass(frozen=True)
class Placed:
    """Rows with the position of their task; T stands for an unseen task, and None for every task.

    :param lengths: rows per array of a list, or None.
    """

    X: Any
    codes: Codes | None
    names: NDArray[Any] | None
    lengths: list[int] | None = None

    def give(self, values: NDArray[Any]) -> Any:
        """Values of all rows in the form of the input."""
        return values if self.lengths is None else np.split(values, np.cumsum(self.lengths)[:-1])


def place(X: Any, tasks: Any, known: NDArray[Any], *, form: str, unseen: str) -> Placed:
    """Find the tasks of the rows.

    :raises ValueError: no tasks were given where they are needed, or an unseen one.
    """
    if is_lists(X):
        labels = known if tasks is None else np.asarray(tasks)
        if len(labels) != len(X):
            raise DataError(f"X is a list of {len(X)} arrays for {len(labels)} tasks.", where="tasks")
        lengths = [x.shape[0] for x in X]
        names = np.repeat(labels, lengths)
        return Placed(stack(X), _positions(names, known, unseen), names, lengths)
    rows = _num_samples(X)
    if tasks is None:
        if form == "columns":
            return Placed(X, None, None)
        if len(known) > 1:
            raise DataError(
                f"fitted on {len(known)} tasks, so predict needs the task of each row.", where="tasks",
                do="Pass tasks=...; in a pipeline, switch on metadata routing.",
            )  # fmt: skip
        return Placed(X, np.zeros(rows, dtype=np.intp), None)
    names = np.asarray(tasks)
    read_tasks(names, rows)
    return Placed(X, _positions(names, known, unseen), names)


def _positions(names: NDArray[Any], known: NDArray[Any], unseen: str) -> Codes:
    if (names.dtype.kind in "OSU") != (known.dtype.kind in "OSU"):
        raise DataError(f"task labels are of type {names.dtype}, in fit they were {known.dtype}.", where="tasks")
    codes = np.minimum(np.searchsorted(known, names), len(known) - 1)
    new = known[codes] != names
    if new.any():
        example = names[new].tolist()[0]
        what = f"task {example!r} was not seen in fit"
        if unseen == "error":
            raise DataError(
                f"{what}.", where="tasks", do="unseen='warn' answers new tasks with the shared part of the model."
            )
        warnings.warn(f"{what}; the shared part answers for {int(new.sum())} rows of new tasks.", stacklevel=4)
    return np.where(new, len(known), codes).astype(np.intp)
