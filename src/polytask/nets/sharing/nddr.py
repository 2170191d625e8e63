"""Neural discriminative dimensionality reduction between trunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.encoders.layers import BatchNorm
from polytask.nets.sharing.channel_rows import Rows, side_by_side
from polytask.nets.sharing.checks import above, within
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.trunks import Trunks, trunk_per_task
from polytask.nets.stacked import Stack, as_stack
from polytask.tasks.task import Target


@dataclass(frozen=True)
class NDDR(Sharing):
    r"""A trunk for each task; after every block, each task reduces the channels of all tasks to its own number.

    .. math:: \tilde x_t = \mathrm{BN}_t(W_t [x_1; \ldots; x_T] + b_t), \qquad
              W_t = [b I, \ldots, a I, \ldots, b I] \text{ at the start}

    with ``a = own`` in the task's own place, b = (1 - own) / (T - 1) in the others (the paper has two tasks), and a
    bias of 0. The product is a 1×1 convolution on maps, a linear layer on vectors and tokens. Trunks and all but the
    last layer between them are shared; the last one is private.

    :param own: a.
    :param shortcut: the head reads a linear mixture of all layers' outputs side by side (the Shortcut variant), which
        starts as their mean.
    :param pace: how many times as fast as other weights W learns under Adam. The paper, with SGD, takes 100.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Gao, Ma, Zhao, Liu, Yuille",
        "NDDR-CNN: layerwise feature fusing in multi-task CNNs by neural discriminative dimensionality reduction",
        "CVPR",
        2019,
    )
    coupled = True

    own: float = 0.9
    shortcut: bool = False
    pace: float = 1.0

    def __post_init__(self) -> None:
        within(0, 1, own=self.own)
        above(0, pace=self.pace)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """T trunks with layers between them."""
        tasks = tuple(target.task.name for target in targets)
        return NDDRShared(tasks, trunk_per_task(encoder, spec, tasks), self)


class NDDRShared(Trunks):
    """T trunks and the layers between them."""

    def __init__(self, tasks: tuple[str, ...], trunks: Sequence[Stages], options: NDDR) -> None:
        blocks = len(trunks[0].blocks)
        super().__init__(tasks, trunks, joined=blocks)
        self.pace = options.pace
        self.layers = nn.ModuleList(self._layer(options) for _ in range(blocks))
        self.shortcut = self._shortcut(blocks) if options.shortcut else None

    def _layer(self, options: NDDR) -> Stack:
        """One layer: the slices of all tasks."""
        count, channels = len(self.tasks), self.width
        beside = (1 - options.own) / max(count - 1, 1)
        own = []
        for task in range(count):
            shares = [(options.own if count > 1 else 1.0) if s == task else beside for s in range(count)]
            linear = nn.Linear(count * channels, channels)
            with torch.no_grad():
                linear.weight.copy_(torch.cat([share * torch.eye(channels) for share in shares], 1) / options.pace)
                linear.bias.zero_()
            own.append(nn.Sequential(linear, BatchNorm(channels)))
        return Stack(own, stackable=True)

    def _shortcut(self, blocks: int) -> Stack:
        linear = nn.Linear(blocks * self.width, self.width)
        with torch.no_grad():
            linear.weight.copy_(torch.eye(self.width).repeat(1, blocks) / blocks)
            linear.bias.zero_()
        return Stack([linear] * len(self.tasks), stackable=True)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The end of each trunk, ``(N, T, D)``. All trunks run, whatever the tasks."""
        everyone, chosen = self.positions(None), self.positions(tasks)
        features = self.stages.start(inputs, everyone)
        stages: list[Tensor] = []
        for i in range(len(self.layers)):
            features = self.stages.step(i, features, everyone)
            rows = Rows.of(features)
            readers = chosen if i == len(self.layers) - 1 else everyone
            reduced = self._reduced(i, rows.values, readers)
            features = rows.restored(reduced)
            stages.append(reduced if len(readers) == len(chosen) else reduced[chosen])
        if self.shortcut is not None:
            features = rows.restored(self.shortcut.rows(chosen, torch.cat(stages, -1)))
        return Representation(self.stages.end(features, chosen).transpose(0, 1))

    def _reduced(self, layer: int, rows: Tensor, readers: list[int]) -> Tensor:
        """``(T, R, D)`` of all tasks to ``(T', R, D)`` of the readers."""
        joint = side_by_side(rows) * self.pace  # the weights are kept divided by the pace
        return as_stack(self.layers[layer]).rows(readers, joint.expand(len(readers), *joint.shape))

    def common(self) -> Mapping[str, nn.Module]:
        """All layers but the last."""
        return {**super().common(), **{f"layers.{i}": m for i, m in enumerate(self.layers[:-1])}}

    def own(self) -> Mapping[str, nn.Module]:
        """The last layer, the shortcut, and the pool."""
        shortcut = {} if self.shortcut is None else {"shortcut": self.shortcut}
        return {**super().own(), f"layers.{len(self.layers) - 1}": self.layers[-1], **shortcut}
