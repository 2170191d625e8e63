"""A training that will be killed: ``resume_child.py TABLE RUN OUT``. It prints a dot per event."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from polytask.record.run import RUN_FILE
from polytask.tasks import Binary, Regression
from polytask.training.learner import Learner, resume

TASKS = [Binary("yes"), Regression("up"), Regression("down", role="auxiliary")]
OPTIONS = {
    "epochs": 12,
    "lr": 0.02,
    "batch_size": 32,
    "patience": 0,
    "schedule": "cosine",
    "warmup": 0.1,
    "accumulate": 2,
    "checkpoint_steps": 3,
    "keep": "per_task",
}


def tell(event: object) -> None:
    sys.stdout.write(".")
    sys.stdout.flush()


def main(table: Path, run: Path, out: Path) -> None:
    torch.set_num_threads(1)
    if (run / RUN_FILE).is_file():
        learner = resume(run, listeners=[tell])
    else:
        encoder = {"name": "mlp", "width": 16, "dropout": 0.3}
        learner = Learner(TASKS, encoder=encoder, balancer="rlw", training=OPTIONS).fit(
            table, run=run, listeners=[tell]
        )
    weights = {f"{p.name}/{k}": v for p in learner.fitted.parts for k, v in p.model.task_state().items()}
    gains = torch.tensor([record.gain for record in learner.history], dtype=torch.float64)
    save_file(weights | {"gains": gains}, out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
