"""Soft parameter sharing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from polytask.batch import Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.trunks import Trunks, trunk_per_task
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Soft(Sharing):
    r"""A trunk of its own for each task, and a penalty that draws corresponding weights together.

    Over the tensors :math:`W_l^t` of all trunks (weights and biases of every layer l of task t), the total gets λ times

    - ``pairwise``: :math:`\sum_l \sum_{s<t} \lVert W_l^s - W_l^t \rVert_F^2` (Duong et al.);
    - ``mean``: :math:`\sum_l \sum_t \lVert W_l^t - \bar W_l \rVert_F^2`, which is the pairwise one over T;
    - ``trace_norm``: :math:`\sum_l \lVert [\mathrm{vec} W_l^1 \ldots \mathrm{vec} W_l^T] \rVert_*` (Yang & Hospedales.
      Trace norm regularised deep multi-task learning. ICLR workshop 2017: their LAF).

    All parameters are private: only the penalty couples them, and it acts beside the balancer.

    :param penalty: pairwise, mean or trace_norm.
    :param weight: λ. Losses are in units of the best constant predictor.
    :param start: ``same``: all trunks start with equal weights; ``own``: each starts with its own. Hidden units of
        trunks that start apart do not correspond, and the penalty has to pull them all the way.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Duong, Cohn, Bird, Cook",
        "Low resource dependency parsing: cross-lingual parameter sharing in a neural network parser",
        "ACL",
        2015,
    )

    penalty: Literal["pairwise", "mean", "trace_norm"] = "pairwise"
    weight: float = 1e-3
    start: Literal["same", "own"] = "same"

    def __post_init__(self) -> None:
        at_least(0, weight=self.weight)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """T trunks."""
        tasks = tuple(target.task.name for target in targets)
        trunks = [encoder.build(spec)] * len(tasks) if self.start == "same" else trunk_per_task(encoder, spec, tasks)
        return SoftShared(tasks, trunks, self)


class SoftShared(Trunks):
    """T trunks, nothing between them but the penalty."""

    def __init__(self, tasks: tuple[str, ...], trunks: Sequence[Stages], options: Soft) -> None:
        super().__init__(tasks, trunks, joined=-1)
        self.options = options

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The end of each trunk, ``(N, T, D)``."""
        return Representation(self.stages(inputs, self.positions(tasks)).transpose(0, 1))

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """λ times the penalty over all layers; None when it is 0 whatever the weights."""
        if self.options.weight == 0 or (len(self.tasks) == 1 and self.options.penalty != "trace_norm"):
            return None
        measure = PENALTIES[self.options.penalty]
        layers = (parameter.flatten(1) for stack in self.stages.stacks() for parameter in stack.parameters())
        return self.options.weight * sum_of(measure(layer) for layer in layers)


def to_mean(weights: Tensor) -> Tensor:
    """Squared distances of the T rows to their mean, summed: ``(T, P) -> ()``."""
    return (weights - weights.mean(0)).square().sum()


def pairwise(weights: Tensor) -> Tensor:
    r"""Squared distances of all pairs of rows, summed: ``(T, P) -> ()``; T times :func:`to_mean`."""
    return len(weights) * to_mean(weights)


def trace_norm(weights: Tensor) -> Tensor:
    r"""The sum of singular values of ``(T, P)``, by the eigenvalues of the T × T Gramian.

    With :math:`W = U \Sigma V^\top` the subgradient is :math:`U V^\top = U \Sigma^{-1} U^\top W`, over singular values
    that are not 0. Its product with W is the norm itself, so one expression has the right value and gradient.
    """
    with torch.no_grad():
        own = weights.double() if weights.device.type != "mps" else weights
        values, vectors = torch.linalg.eigh(own @ own.T)
        # Squares lose half the digits: what is below 1e-10 of the largest is the rounding of the weights.
        kept = values > 1e-10 * values[-1].clamp(min=torch.finfo(own.dtype).tiny)
        inverse = torch.where(kept, values.clamp(min=torch.finfo(own.dtype).tiny).rsqrt(), 0.0)
        subgradient = ((vectors * inverse) @ vectors.T @ own).to(weights.dtype)
    norm: Tensor = (subgradient * weights).sum()
    return norm


PENALTIES = {"pairwise": pairwise, "mean": to_mean, "trace_norm": trace_norm}


def sum_of(values: Iterable[Tensor]) -> Tensor:
    """The sum of scalars."""
    return torch.stack(list(values)).sum()
