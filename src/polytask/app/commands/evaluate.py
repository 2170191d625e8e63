"""``polytask evaluate``: every metric of every task on a table with labels."""

from __future__ import annotations

from polytask.app.options import ModelFolder, TableFile, Trust
from polytask.app.saved import about, model_in
from polytask.training.learner import load


def command(model: ModelFolder, table: TableFile, *, trust: Trust = False) -> None:
    """Score a saved model on a table with labels.

    The first metric of each task is its main one. A task without labels in the table has none.
    """
    learner = load(model_in(model), trust=trust)
    with about(table):
        print(learner.evaluate(table))
