"""Training on two processes from the command line: one of them speaks, and one writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

CONFIG = """
data: {train: table.csv, split: {name: random, validation: 0.2, test: 0.2}}
tasks: {y: regression}
training: {epochs: 2, batch_size: 32, accelerator: cpu, devices: 2, strategy: ddp}
"""


def test_one_process_speaks_for_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    pl.DataFrame({"x": x, "y": x + rng.normal(size=200)}).write_csv(tmp_path / "table.csv")
    (tmp_path / "polytask.yaml").write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "polytask", "train", "polytask.yaml", "--run", "run", "--no-report"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rmse") == 1
    assert done.stderr.count("Model: ") == 1
    assert {p.name for p in (tmp_path / "run" / "model").iterdir()} >= {"polytask.yaml", "weights.safetensors"}
