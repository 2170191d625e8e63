"""Gates: what they read, how they mix experts, and how to see that experts have collapsed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Features
from polytask.nets.encoders.tokens import token_rows
from polytask.record.layout import ENTROPY, SHARE

FLOOR = 1e-12
"""Keeps the logarithm of a weight of 0 finite; 0 log 0 is 0 all the same."""


def summary(features: Features, *, per_token: bool = False) -> Tensor:
    """What a gate reads of features, ``(N, C)``: a vector as it is, the mean of real tokens, the mean of a map.

    Means are channel-wise: ``(N, L, C)`` over real tokens, ``(N, C, H, W)`` over places.

    :param per_token: of texts: a gate weighs for every row that the pool puts out, windows and tokens, and reads it.
    """
    values = features.values
    if per_token:
        return token_rows(features)
    if values.ndim == 2:
        return values
    if values.ndim == 4:
        return values.mean((2, 3))
    if features.mask is None:
        return values.mean(1)
    real = features.mask.to(values.dtype)[..., None]
    return (values * real).sum(1) / real.sum(1).clamp(min=1)


class Gate(nn.Module, ABC):
    """Weights of n experts for each of G mixtures. Every parameter stacks G slices."""

    @abstractmethod
    def forward(self, read: Tensor, gates: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Weights ``(N, len(gates), n)`` of these gates, and what the gate adds to the total of a training step.

        :param read: ``(N, C)``.
        """


class SoftmaxGate(Gate):
    r"""The usual gate :math:`g_t(x) = \mathrm{softmax}(W_t x)`, without bias.

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

    def forward(self, read: Tensor, gates: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """See :class:`Gate`; ``read`` may also be ``(len(gates), N, C)``, one for each gate."""
        weight = self.weight if len(gates) == len(self.weight) else self.weight[list(gates)]
        if read.ndim == 3:
            return torch.bmm(read, weight.transpose(1, 2)).transpose(0, 1).softmax(-1), None
        logits = functional.linear(read, weight.flatten(0, 1)).view(-1, *weight.shape[:2])
        return logits.softmax(-1), None


def mix(weights: Tensor, experts: Tensor) -> Tensor:
    r"""Mixtures :math:`\sum_i g_{ti} \, e_i(x)`: ``(N, G, n), (n, N, ...) -> (N, G, ...)``.

    One product for all gates, whatever the shape of what an expert puts out.

    :param weights: of every row; ``(1, G, n)`` when they are the same for all rows.
    """
    gates, shape = weights.shape[1], experts.shape[1:]
    weights = weights.to(experts.dtype)
    if len(weights) == 1:
        return (weights[0] @ experts.flatten(1)).view(gates, *shape).transpose(0, 1)
    return torch.bmm(weights, experts.flatten(2).transpose(0, 1)).view(shape[0], gates, *shape[1:])


def entropy(weights: Tensor) -> Tensor:
    """Entropy of weights ``(..., n)`` in nats, ``(...)``: log n when all experts count alike, 0 when one is left."""
    return -(weights * weights.clamp(min=FLOOR).log()).sum(-1)


def gate_diagnostics(weights: Tensor, gates: Sequence[str], experts: Sequence[str] = ()) -> dict[str, Tensor]:
    """How far experts have collapsed, gate by gate, and over all gates.

    - ``gate_entropy/<gate>``: mean entropy of a gate over log n: 0 when one expert is left, 1 when all count alike.
    - ``expert_use``: entropy of the mean weights over rows and gates, over log n. Near 0 all experts but one are dead.
    - ``gate_share/<gate>/<expert>``: mean weight of an expert.

    :param weights: ``(N, G, n)``.
    :param experts: their names; default: 1, 2, ... n.
    """
    weights = weights.detach()
    scale = math.log(max(weights.shape[-1], 2))
    own, shares = entropy(weights).mean(0) / scale, weights.mean(0)
    found = {f"{ENTROPY}{gate}": own[i] for i, gate in enumerate(gates)}
    found["expert_use"] = entropy(shares.mean(0)) / scale
    names = experts or [str(i + 1) for i in range(weights.shape[-1])]
    return found | {
        f"{SHARE}{gate}/{name}": shares[i, j] for i, gate in enumerate(gates) for j, name in enumerate(names)
    }


def shared_and_own(shared: int, own: int) -> list[str]:
    """Names of shared experts and of a task's own: ``["shared 1", "shared 2", "own 1"]``."""
    return [f"shared {i + 1}" for i in range(shared)] + [f"own {i + 1}" for i in range(own)]
