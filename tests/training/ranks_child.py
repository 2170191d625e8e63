"""One rank of a distributed training: ``ranks_child.py TABLE OUT BALANCER OPTIONS``; its rank is in the environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from polytask.data.sources import read
from polytask.tasks import Binary, Regression
from polytask.training.learner import Learner

TASKS = [Binary("yes"), Regression("up", weight=2.0), Regression("down")]


def main(table: Path, out: Path, balancer: str, **options: object) -> Learner:
    torch.set_num_threads(1)
    training = {
        "epochs": 2,
        "lr": 0.1,
        "optimizer": "sgd",
        "batch_size": 16,
        "accumulate": 2,
        "clip_norm": 5.0,
    } | options
    encoder = {"name": "mlp", "width": 16, "dropout": 0.0}
    learner = Learner(TASKS, encoder=encoder, balancer=balancer, training=training).fit(read(table))
    weights = learner.fitted.parts[0].model.task_state()
    losses = torch.tensor([list(record.train.values()) for record in learner.history])
    save_file(weights | {"losses": losses}, out)
    return learner


if __name__ == "__main__":
    given = json.loads(sys.argv[4]) | {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], **given)
