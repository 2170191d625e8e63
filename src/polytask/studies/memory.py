"""How much memory one training step needs, counted instead of sampled: the same number on every run."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from polytask.batch import Batch
from polytask.nets.model import Model

PER_PARAMETER = 4
"""A weight, its gradient, and the two moments of AdamW."""


def step_bytes(model: Model, batch: Batch) -> int:
    """Bytes of weights, gradients and optimizer moments, and of what the forward pass keeps for the backward pass.

    Tensors that share their storage count once. Memory of PyTorch itself and of single kernels is not in it.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    was_training = model.training
    with torch.random.fork_rng(devices=[]), saved_tensors_hooks(pack, _same):
        model.train()
        model.losses(model(batch.inputs), batch.targets)
    model.train(was_training)
    return PER_PARAMETER * sum(p.nbytes for p in model.parameters()) + sum(kept.values())


def _same(tensor: Tensor) -> Tensor:
    return tensor
