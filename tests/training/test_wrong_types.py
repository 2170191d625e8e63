"""Things of the wrong type, handed over in Python: an error of the house, not of Python."""

from __future__ import annotations

import pytest

from polytask.errors import ConfigError, RunError
from polytask.studies.compare import compare
from polytask.studies.options import CompareOptions
from polytask.tasks import Binary, Regression
from polytask.training.learner import Learner, load, resume
from polytask.training.options import TrainingOptions


@pytest.mark.parametrize("make", [lambda: Binary(3), lambda: Binary("a", weight="2"), lambda: Binary("a", columns=3)])
def test_tasks(make):
    with pytest.raises(ConfigError, match=r"Binary\.(name|weight|columns): input should"):
        make()


def test_options():
    with pytest.raises(ConfigError, match=r"training\.lr"):
        TrainingOptions(lr="fast")
    with pytest.raises(ConfigError, match=r"compare\.seeds: .*found 2\.5"):
        CompareOptions(seeds=2.5)


def test_folders_and_numbers_of_seeds(frame):
    learner = Learner([Binary("yes"), Regression("up")], exclude=["down"])
    for call in (
        lambda: load(3),
        lambda: resume(3),
        lambda: learner.fit(frame, run=3),
        lambda: compare(learner, frame, seeds=1, run=3),
    ):
        with pytest.raises(RunError, match="expected the path of a folder, found 3"):
            call()
    with pytest.raises(ConfigError, match=r"found 2\.5"):
        compare(learner, frame, seeds=2.5)
