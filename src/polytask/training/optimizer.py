"""The optimizer that the options name."""

from __future__ import annotations

import torch
from torch.optim import SGD, AdamW, Optimizer

from polytask.nets.model import Model
from polytask.training.options import TrainingOptions

FUSED = ("cpu", "cuda", "mps")


def build_optimizer(model: Model, options: TrainingOptions, device: torch.device) -> Optimizer:
    """An optimizer over all parameters; weight decay spares norms, biases and other vectors.

    One fused kernel updates all parameters where that exists (on a small MLP and a CPU a third of the time of the
    default), except with fp16: there the gradient scaler must be able to unscale before clipping.
    """
    groups = [
        group | {"lr": options.lr * group["lr_scale"]}
        for group in model.parameter_groups(options.weight_decay, options.trunk_lr)
    ]
    fused = device.type in FUSED and options.precision != "16-mixed"
    if options.optimizer == "sgd":
        return SGD(groups, lr=options.lr, momentum=options.momentum, fused=fused)
    return AdamW(groups, lr=options.lr, fused=fused)
