"""Gates: what they read, how they mix experts, and how to see that experts have collapsed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polytask.batch import Features

FLOOR = 1e-12
"""Keeps the logarithm of a weight of 0 finite; 0 log 0 is 0 all the same."""


def summary(features: Features) -> Tensor:
    """What a gate reads of features, ``(N, C)``: a vector as it is, the mean of real tokens, the mean of a map.

    Means are channel-wise: ``(N, L, C)`` over real tokens, ``(N, C, H, W)`` over places.
    """
    values = features.values
    if values.ndim == 2:
        return values
    if values.ndim == 4:
        return values.mean((2, 3))
    if features.mask is None:
        return values.mean(1)
    real = features.mask.to(values.dtype)[..., None]
    return (values * real).sum(1) / real.sum(1).clamp(min=1)


class Gates(nn.Module):
    r"""The gates of G tasks: :math:`g_t = \mathrm{softmax}(W_t x)` over n experts, without bias.

    Weights start uniform in ±1/√C, like those of ``nn.Linear``.

    :param gates: G.
    :param experts: n, what each gate mixes.
    :param channels: C, numbers per row that a gate reads.
    """

    weight: nn.Parameter
    """``(G, n, C)``."""

    def __init__(self, gates: int, experts: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(gates, experts, channels))
        nn.init.uniform_(self.weight, -(channels**-0.5), channels**-0.5)

    def forward(self, read: Tensor, gates: Sequence[int] | None = None) -> Tensor:
        """Weights of all experts, ``(N, G, n)``; with ``gates``, those of some gates only.

        :param read: ``(N, C)``, the same for all gates, or ``(N, G, C)``.
        """
        weight = self.weight if gates is None else self.weight[list(gates)]
        if read.ndim == 2:
            logits = nn.functional.linear(read, weight.flatten(0, 1)).unflatten(1, weight.shape[:2])
        else:
            logits = torch.einsum("ngc,gic->ngi", read, weight)
        return logits.softmax(-1)


def mix(weights: Tensor, experts: Tensor) -> Tensor:
    r"""Mixtures :math:`\sum_i g_{ti} \, e_i(x)` of every row: ``(N, G, n), (n, N, ...) -> (G, N, ...)``.

    One product for all gates, whatever the shape of what an expert puts out.
    """
    flat = experts.flatten(2)
    mixed = torch.bmm(weights.to(flat.dtype), flat.transpose(0, 1))  # (N, G, ...)
    return mixed.transpose(0, 1).unflatten(2, experts.shape[2:]) if experts.ndim > 3 else mixed.transpose(0, 1)


def entropy(weights: Tensor) -> Tensor:
    """Entropy of gates ``(..., n)`` in nats, ``(...)``: log n when all experts count alike, 0 when one is left."""
    return -(weights * weights.clamp(min=FLOOR).log()).sum(-1)


def gate_diagnostics(weights: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
    r"""How far experts have collapsed, per task, and for all tasks together.

    - ``gate_entropy/<task>``: mean entropy of the task's gate over log n; 0: one expert is left, 1: all count alike.
    - ``expert_use``: entropy of the mean gate over rows and tasks, over log n. Near 0, the other experts are dead.

    :param weights: ``(N, T, n)``.
    """
    scale = math.log(weights.shape[-1]) if weights.shape[-1] > 1 else 1.0
    own = entropy(weights.detach()).mean(0) / scale
    use = entropy(weights.detach().mean((0, 1))) / scale
    return {f"gate_entropy/{task}": own[i] for i, task in enumerate(tasks)} | {"expert_use": use}
