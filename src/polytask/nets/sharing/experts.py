"""Experts: copies of an encoder's blocks and pool, run as one batched product; shared ones and private ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from polytask.batch import Features, InputSpec
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.gates import mix, summary
from polytask.nets.stacked import StackedStages


def shared_experts(encoder: Encoder, spec: InputSpec, count: int) -> StackedStages:
    """Copies, each drawn anew, behind one stem."""
    return StackedStages([encoder.build(spec) for _ in range(count)], own_stem=False)


def stemless(encoder: Encoder, spec: InputSpec, count: int) -> list[Stages]:
    """Encoders, each drawn anew, without their stems: they are given the features of another stem."""
    built = [encoder.build(spec) for _ in range(count)]
    for stages in built:
        stages.stem = nn.Identity()
    return built


def private_experts(encoder: Encoder, spec: InputSpec, count: int) -> StackedStages:
    """Copies, each drawn anew, without a stem."""
    return StackedStages(stemless(encoder, spec, count), own_stem=False)


def parts(stages: StackedStages) -> Mapping[str, nn.Module]:
    """What is stacked in stages without a stem."""
    return {"blocks": stages.blocks, "pool": stages.pool}


def run(experts: StackedStages, features: Features, copies: Sequence[int]) -> Tensor:
    """Blocks and pools of some experts: ``(n, N, ...) -> (n, N, D)``."""
    for block in range(len(experts.blocks)):
        features = experts.step(block, features, copies)
    return experts.end(features, copies)


def copies_of(positions: Sequence[int], each: int) -> list[int]:
    """The copies that belong to tasks, each of which has ``each`` in a row.

    >>> copies_of([2, 0], 3)
    [6, 7, 8, 0, 1, 2]
    """
    return [position * each + i for position in positions for i in range(each)]


def first_of(features: Features) -> Features:
    """``(n, N, ...) -> (N, ...)``: of features that are the same for all copies."""
    return Features(features.values[0], features.mask)


def repeated_each(features: Features, each: int) -> Features:
    """``(G, N, ...) -> (G * each, N, ...)``: every task's features for each of its experts."""
    return features if each == 1 else Features(torch.repeat_interleave(features.values, each, 0), features.mask)


def summaries(features: Features) -> Tensor:
    """What the gates of G streams read: ``(G, N, ...) -> (G, N, C)``; see :func:`summary`."""
    if features.values.ndim == 3:
        return features.values
    streams, rows = features.values.shape[:2]
    mask = None if features.mask is None else features.mask.repeat(streams, 1)
    read = summary(Features(features.values.flatten(0, 1), mask))
    return read.view(streams, rows, read.shape[1])


def features_of(found: Features | Tensor) -> Features:
    """What blocks put out; for the type checker, which cannot know it."""
    if not isinstance(found, Features):
        raise TypeError(f"expected Features, found {type(found).__name__}")
    return found


def tensor_of(found: Features | Tensor) -> Tensor:
    """What pools put out; for the type checker, which cannot know it."""
    if not isinstance(found, Tensor):
        raise TypeError(f"expected a tensor, found {type(found).__name__}")
    return found


def mix_own(weights: Tensor, shared: Tensor, own: Tensor) -> Tensor:
    """Mix shared experts, then the task's own: ``(N, G, s + p), (s, N, ...), (G * p, N, ...) -> (N, G, ...)``.

    The gate of a task has no weight at all for the experts of other tasks.
    """
    s, gates = len(shared), weights.shape[1]
    private = own.reshape(gates, len(own) // gates, *own.shape[1:])  # (G, p, N, ...)
    share = weights[:, :, s:].permute(1, 2, 0).reshape(*private.shape[:3], *[1] * (own.ndim - 2))
    return mix(weights[:, :, :s], shared) + (share.to(own.dtype) * private).sum(1).transpose(0, 1)
