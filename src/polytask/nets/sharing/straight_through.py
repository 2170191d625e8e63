"""Decisions that gradients pass as if they were none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Step(torch.autograd.Function):
    """1 from a threshold on, else 0; the gradient passes as it is."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, threshold: float) -> Tensor:
        return (scores >= threshold).to(scores.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def step(scores: Tensor, threshold: float) -> Tensor:
    """The indicator ``scores >= threshold`` with a straight-through gradient.

    Source: Bengio, Léonard, Courville. Estimating or propagating gradients through stochastic neurons for conditional
    computation. 2013.
    """
    found: Tensor = _Step.apply(scores, threshold)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return found


def gumbel_softmax(logits: Tensor, tau: float, *, hard: bool = False) -> Tensor:
    r"""A sample :math:`\mathrm{softmax}((\theta + G) / \tau)` over the last dimension, G standard Gumbel.

    Noise comes from torch's global generator, like that of dropout.

    :param hard: put out the one-hot choice, with the gradient of the soft sample.

    Source: Jang, Gu, Poole. Categorical reparameterization with Gumbel-softmax. ICLR 2017.
    """
    noise = -torch.empty_like(logits).exponential_().log()
    soft = relaxed(logits, noise, tau)
    return soft + (one_hot(soft) - soft).detach() if hard else soft


def relaxed(logits: Tensor, noise: Tensor, tau: float) -> Tensor:
    r""":math:`\mathrm{softmax}((\theta + G) / \tau)` over the last dimension."""
    return ((logits + noise) / tau).softmax(-1)


def one_hot(scores: Tensor) -> Tensor:
    """1 at the largest of the last dimension (the first of equals), else 0."""
    return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)
