"""The School data, with the definition of explained variance that the papers use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import linear_quality as quality

needs_data = pytest.mark.skipif(not os.environ.get("POLYTASK_DATA"), reason="POLYTASK_DATA names no folder")


def test_explained_variance_is_within_schools():
    y, tasks = np.array([1.0, 3.0, 10.0, 14.0]), np.array([0, 0, 1, 1])
    split = (None, None, None, None, y, tasks)
    assert quality.within_school(split, y) == pytest.approx(100)
    assert quality.within_school(split, np.array([2.0, 2.0, 12.0, 12.0])) == pytest.approx(0)
    # SSE 1 + 1 + 4 + 4 of 1 + 1 + 4 + 4 around the means; halving every error leaves a quarter
    assert quality.within_school(split, np.array([1.5, 2.5, 11.0, 13.0])) == pytest.approx(75)


@needs_data
def test_sharing_between_schools_pays():
    """The card of the data: pooled ridge 23.5, ridge per school 22.9, about 28 with mean regularisation."""
    splits = list(quality.school(10))
    assert len(splits) == 10
    assert [len(splits[0][i]) for i in (1, 4)] == [11472, 3890]
    assert len(np.unique(splits[0][2])) == 139

    def over_splits(name):
        return np.mean([quality.within_school(split, quality.CONTENDERS[name](split, False)) for split in splits])

    assert over_splits("ridge, pooled") == pytest.approx(23.5, abs=0.5)
    assert over_splits("`MeanRegularized`") >= 28
