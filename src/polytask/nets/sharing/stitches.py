"""Mixing the features of T trunks with a learned matrix per channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polytask.nets.sharing.channel_rows import channels_first, channels_last

FEW = 2**20
"""Products up to which those of all pairs of tasks are written out: on a CPU up to 20 times as fast as a batched
product over channels, which is better beyond."""


class Stitch(nn.Module):
    r"""The features of tasks as weighted sums of those of all tasks, group by group of channels.

    .. math:: \tilde x_{tg} = \sum_s \sum_h a_{tgsh} \, x_{sh}

    Each task's channels fall into G groups of equal size; with G = 1 a task's channels keep together. With ``channels``
    every channel has coefficients of its own.

    :param start: ``(T, G, T, G)``: the coefficients at the start.
    :param channels: D for coefficients per channel of a group; None for one for all.
    :param pace: how many times as fast as other weights the coefficients learn, in steps of Adam: they are kept divided
        by it. (Under plain SGD the factor acts squared.)
    """

    def __init__(self, start: Tensor, *, channels: int | None = None, pace: float = 1.0) -> None:
        super().__init__()
        self.pace = pace
        self.groups = start.shape[1]
        spread = start if channels is None else start[..., None].repeat(1, 1, 1, 1, channels // self.groups)
        self.kept = nn.Parameter(spread / pace)

    @property
    def coefficients(self) -> Tensor:
        """``(T, G, T, G)``, or ``(T, G, T, G, D / G)`` per channel."""
        return self.kept * self.pace

    def forward(self, values: Tensor, copies: list[int]) -> Tensor:
        """What these tasks read, ``(T', N, ...)``, of the values of all, ``(T, N, ...)``."""
        mixing = self.coefficients.to(values.dtype)
        if len(copies) < len(mixing):
            mixing = mixing[copies]
        if self.groups > 1:
            return _mixed_groups(mixing, values)
        mixing = mixing[:, 0, :, 0]
        if mixing.ndim == 2:
            return (mixing @ values.flatten(1)).view(-1, *values.shape[1:])
        return channels_first(_mixed_channels(mixing, channels_last(values)))


def _mixed_groups(mixing: Tensor, values: Tensor) -> Tensor:
    """Groups of channels as wholes, or channel by channel within them."""
    last = channels_last(values)
    groups = mixing.shape[1]
    grouped = last.reshape(*last.shape[:-1], groups, last.shape[-1] // groups)
    rule = "tgsh,s...hd->t...gd" if mixing.ndim == 4 else "tgshd,s...hd->t...gd"
    return channels_first(torch.einsum(rule, mixing, grouped).flatten(-2))


def _mixed_channels(mixing: Tensor, last: Tensor) -> Tensor:
    """Channel by channel: ``(T', T, D), (T, ..., D) -> (T', ..., D)``."""
    if len(mixing) * last.numel() > FEW:
        return torch.einsum("tsd,s...d->t...d", mixing, last)
    return (mixing.view(*mixing.shape[:2], *[1] * (last.ndim - 2), -1) * last).sum(1)


def near_identity(size: int, own: float) -> Tensor:
    """``(size, size)``: ``own`` on the diagonal, the rest of 1 spread evenly beside it; 1 for a single one."""
    if size == 1:
        return torch.ones(1, 1)
    beside = (1 - own) / (size - 1)
    return torch.full((size, size), beside) + (own - beside) * torch.eye(size)
