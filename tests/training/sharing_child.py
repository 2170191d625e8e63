"""Every way of sharing in one process of several: ``sharing_child.py FOLDER``; its rank is in the environment.

The folder holds ``rows.parquet`` and, as ``ways.json``, ways of sharing and options of training by label. The process
writes what each has learned to ``<label>.<rank>.safetensors``, or to ``<label>.<rank>.txt`` why it would not learn.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor

from polytask.data.sources import read
from polytask.errors import ConfigError
from polytask.tasks import Binary, Regression
from polytask.training.learner import Learner

TASKS = [Binary("click"), Binary("buy", parents=("click",)), Regression("price", weight=2.0)]
"""A funnel of two steps, and a task that is no part of it."""

ENCODER = {"name": "mlp", "width": 8, "depth": 2, "dropout": 0.0}


def rows(count: int, missing: float, seed: int = 0) -> pl.DataFrame:
    """click = [x0 + x1 > 0], buy = click and [x2 > 0], price = 2 x0 - x3 + noise; some labels are missing."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 5))
    click = x[:, 0] + x[:, 1] > 0
    labels = {"click": click, "buy": click & (x[:, 2] > 0), "price": 2 * x[:, 0] - x[:, 3] + rng.normal(size=count)}
    known = {name: np.where(rng.random(count) < missing, np.nan, values) for name, values in labels.items()}
    columns = {f"x{i}": x[:, i] for i in range(5)} | known
    return pl.DataFrame(columns).with_columns(pl.col(*known).fill_nan(None))


def learned(way: dict[str, Any], frame: pl.DataFrame, **training: Any) -> dict[str, Tensor]:
    """Every weight and buffer behind two epochs of three steps of two batches."""
    options = {"epochs": 2, "batch_size": 32, "accumulate": 2, "optimizer": "sgd", "lr": 0.05, "clip_norm": 5.0}
    options |= {"validation_fraction": 0.0} | training
    fitted = Learner(TASKS, encoder=ENCODER, sharing=way, training=options).fit(frame).fitted
    losses = torch.tensor([list(record.train.values()) for record in fitted.history])
    return {**fitted.parts[0].model.state_dict(), "losses": losses}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rank, frame = os.environ["LOCAL_RANK"], read(folder / "rows.parquet")
    for label, (way, options) in json.loads((folder / "ways.json").read_text()).items():
        try:
            found = learned(way, frame, **options, accelerator="cpu", devices=2, strategy="ddp")
        except ConfigError as error:
            (folder / f"{label}.{rank}.txt").write_text(str(error))
        else:
            save_file({key: value.contiguous() for key, value in found.items()}, folder / f"{label}.{rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
