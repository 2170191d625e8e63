"""One of several classes for two texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from polytask.tasks.multiclass import Multiclass


@dataclass(frozen=True, kw_only=True)
class PairClassification(Multiclass):
    """One of C classes for a pair of texts: whether one follows from the other, answers it, or says the same.

    Everything is as in ``Multiclass``; besides, the data must be read as two texts per row (``text=("a", "b")``), which
    the encoder sees at once, with a mark between them.
    """

    texts: ClassVar[int] = 2
    """How many texts of a row the task is about."""
