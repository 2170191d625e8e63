"""Folds inside each task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator

from polytask.errors import DataError


class TaskKFold(BaseCrossValidator):
    """K folds of the rows of every task, so that no task is unseen in training; takes ``tasks`` by metadata routing.

    The rows of a task are shuffled and dealt to the folds in turn; the turn goes on from task to task, so folds are of
    equal size. A task with a single row is always in training. To leave whole tasks out use scikit-learn's
    ``GroupKFold`` with ``groups=tasks``.

    :param n_splits: number of folds, at least 2.
    :param seed: of the shuffle.
    """

    __metadata_request__split: ClassVar[dict[str, bool]] = {"tasks": True}

    def __init__(self, n_splits: int = 5, *, seed: int = 0) -> None:
        self.n_splits = n_splits
        self.seed = seed

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None, tasks: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None, tasks: Any = None
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Training and test rows of every fold; ``groups`` stands for ``tasks`` where that is not given."""
        names = tasks if tasks is not None else groups
        rows = X.shape[0] if names is None else len(names)
        codes = np.zeros(rows, dtype=np.intp) if names is None else np.unique(np.asarray(names), return_inverse=True)[1]
        if self.n_splits < 2 or self.n_splits > rows:
            raise DataError(f"expected 2 to {rows} folds, found {self.n_splits}.", where="n_splits")
        mixed = np.random.default_rng(self.seed).permutation(rows)
        order = mixed[np.argsort(codes[mixed], kind="stable")]
        fold = np.empty(rows, dtype=np.intp)
        fold[order] = np.arange(rows) % self.n_splits
        fold[np.bincount(codes)[codes] == 1] = -1
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)
