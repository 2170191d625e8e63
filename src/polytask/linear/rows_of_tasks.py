"""Stacked rows for methods that need the rows themselves: one X with columns is repeated where labels are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from polytask.linear.forms import Rows


def stacked(rows: Rows) -> Rows:
    """The same data with one label per row; rows of weight zero are left out."""
    if rows.codes is None:
        weight = np.broadcast_to(rows.weight, rows.y.shape)
        codes, index = np.nonzero(weight.T > 0)
        return replace(
            rows, X=rows.X[index], y=rows.y[index, codes], weight=weight[index, codes], codes=codes.astype(np.intp)
        )
    kept = rows.weight > 0
    if kept.all():
        return rows
    return replace(rows, X=rows.X[kept], y=rows.y[kept], weight=rows.weight[kept], codes=rows.codes[kept])
