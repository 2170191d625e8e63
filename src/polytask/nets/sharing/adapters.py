"""Bottleneck adapters per task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.conditioned import Condition, Conditioned, PerTask, along_channels, of_tasks, on_channels
from polytask.nets.sharing.sharing import Shared, Sharing
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Adapters(Sharing):
    r"""One trunk, with a small bottleneck of each task's own behind every block.

    .. math:: h \leftarrow h + U_t \, \mathrm{relu}(D_t h + c_t) + b_t

    :math:`U_t` and :math:`b_t` start at zero, so that the network starts as hard sharing. Adapters of all tasks run as
    one batched product; so does the trunk, once per task.

    :param reduction: channels per unit of the bottleneck.
    :param freeze: leave the trunk as it is, and learn adapters and heads only. It pays for a trunk that has learned.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Houlsby, Giurgiu, Jastrzebski, Morrone, de Laroussilhe, Gesmundo, Attariyan, Gelly",
        "Parameter-efficient transfer learning for NLP",
        "ICML",
        2019,
    )

    reduction: int = 16
    freeze: bool = False

    def __post_init__(self) -> None:
        at_least(1, reduction=self.reduction)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk and its adapters."""
        tasks = tuple(target.task.name for target in targets)
        stages = encoder.build(spec)
        units = max(1, stages.width // self.reduction)
        condition = Bottlenecks(len(tasks), len(stages.blocks), stages.width, units)
        return Conditioned(tasks, stages, condition, frozen=self.freeze)


class Bottlenecks(Condition):
    """The adapters of T tasks behind L blocks of C channels, r units each."""

    def __init__(self, tasks: int, blocks: int, channels: int, units: int) -> None:
        super().__init__()
        bound = channels**-0.5
        self.down = _each(torch.empty(tasks, units, channels).uniform_(-bound, bound) for _ in range(blocks))
        self.down_bias = _each(torch.zeros(tasks, units) for _ in range(blocks))
        self.up = _each(torch.zeros(tasks, channels, units) for _ in range(blocks))
        self.up_bias = _each(torch.zeros(tasks, channels) for _ in range(blocks))

    def forward(self, block: int, values: Tensor, positions: Sequence[int]) -> Tensor:
        """See :class:`Condition`."""
        down, down_bias, up, up_bias = (
            of_tasks(layers, block, positions) for layers in (self.down, self.down_bias, self.up, self.up_bias)
        )
        hidden = on_channels(values, down)
        hidden = functional.relu(hidden + along_channels(down_bias, hidden))
        return values + on_channels(hidden, up) + along_channels(up_bias, values)

    def own(self) -> Mapping[str, nn.Module]:
        """All adapters."""
        return {"down": self.down, "down_bias": self.down_bias, "up": self.up, "up_bias": self.up_bias}


def _each(starts: Iterable[Tensor]) -> nn.ModuleList:
    return nn.ModuleList(PerTask(start) for start in starts)
