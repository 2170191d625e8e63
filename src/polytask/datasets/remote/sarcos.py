"""SARCOS: the torques of seven joints of a robot arm from how it moves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import Copy, File
from polytask.datasets.entry import Remote
from polytask.errors import DataError, MissingExtraError
from polytask.tasks.regression import Regression

JOINTS = range(1, 8)
FEATURES = tuple(f"{what}_{joint}" for what in ("position", "velocity", "acceleration") for joint in JOINTS)
TASKS = tuple(Regression(f"torque_{joint}") for joint in JOINTS)


def matrix(path: Path) -> NDArray[np.float64]:
    """The ``(N, 28)`` numbers of the MATLAB file, or of its copy with X and Y in an npz."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return np.hstack([arrays["X"], arrays["Y"]])
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError("scipy", "datasets", "Reading a MATLAB file") from error
    return np.asarray(loadmat(path)["sarcos_inv_test"], dtype=np.float64)


def read(files: Mapping[str, Path]) -> Dataset:
    """All movements."""
    path = files["sarcos_inv_test.mat"]
    table = matrix(path)
    names = [*FEATURES, *(task.name for task in TASKS)]
    if table.ndim != 2 or table.shape[1] != len(names):
        raise DataError(f"expected {len(names)} columns, found an array of shape {table.shape}.", where=str(path))
    return Dataset("sarcos", pl.DataFrame(table, schema=names), TASKS, FEATURES, ORIGIN)


ORIGIN = Origin(
    name="sarcos",
    title="SARCOS robot arm: seven torques from position, velocity and acceleration",
    source="http://www.gaussianprocess.org/gpml/data/, data of C. E. Rasmussen and C. K. I. Williams, "
    "Gaussian Processes for Machine Learning, MIT Press 2006",
    licence="None stated; published for research",
    attribution="S. Vijayakumar, S. Schaal. Locally Weighted Projection Regression. ICML 2000.",
    collection="One anthropomorphic arm of seven degrees of freedom.",
    notes=(
        "This is the smaller file alone (4,449 rows). Most of its rows also occur in the 44,484-row "
        "training file of the same source, so figures on the published pair are optimistic and not comparable.",
        "Rows were sampled along trajectories: a random split interpolates between neighbours.",
    ),
)

ENTRY = Remote(
    ORIGIN,
    (
        File(
            "sarcos_inv_test.mat",
            "http://www.gaussianprocess.org/gpml/data/sarcos_inv_test.mat",
            None,
            (
                Copy(
                    "sarcos_4449/sarcos_inv_test.npz",
                    "0c21ab5fd6a5c699ceaa3dde1405ac5d7ae307619f08c408bde51bff5a2e2297",
                ),
            ),
        ),
    ),
    read,
)
