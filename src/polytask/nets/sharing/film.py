"""Feature-wise linear modulation by the task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.conditioned import Condition, Conditioned, PerTask, along_channels
from polytask.nets.sharing.sharing import Shared, Sharing
from polytask.tasks.task import Target


@dataclass(frozen=True)
class FiLM(Sharing):
    r"""One trunk, whose channels every task scales and shifts behind each block.

    .. math:: h \leftarrow \gamma_t \odot h + \beta_t, \qquad (\gamma_t - 1, \beta_t) = \mathrm{MLP}(e_t)

    The MLP, which is shared, turns the task's embedding :math:`e_t`, which is private, into the scales and shifts of
    all blocks. Its last layer starts at zero, so that the network starts as hard sharing. The trunk runs once
    per task, all tasks as one batch.

    :param embedding: numbers in a task's embedding.
    :param hidden: hidden units of the MLP.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Perez, Strub, de Vries, Dumoulin, Courville",
        "FiLM: visual reasoning with a general conditioning layer",
        "AAAI",
        2018,
    )

    embedding: int = 16
    hidden: int = 32

    def __post_init__(self) -> None:
        at_least(1, embedding=self.embedding, hidden=self.hidden)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk, task embeddings and the MLP."""
        tasks = tuple(target.task.name for target in targets)
        stages = encoder.build(spec)
        return Conditioned(tasks, stages, Modulation(self, len(tasks), len(stages.blocks), stages.width))


class Modulation(Condition):
    """Scales and shifts of T tasks behind L blocks of C channels."""

    def __init__(self, options: FiLM, tasks: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.embedding = PerTask(torch.randn(tasks, options.embedding))
        self.hidden = nn.Linear(options.embedding, options.hidden)
        self.out = nn.Linear(options.hidden, blocks * 2 * channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, block: int, values: Tensor, positions: Sequence[int]) -> Tensor:
        """See :class:`Condition`."""
        found = self.out(functional.relu(self.hidden(self.embedding.of(positions))))
        scale, shift = found.view(len(positions), self.blocks, 2, -1)[:, block].unbind(1)
        return modulate(values, 1 + scale, shift)

    def own(self) -> Mapping[str, nn.Module]:
        """Task embeddings."""
        return {"embedding": self.embedding}

    def common(self) -> Mapping[str, nn.Module]:
        """The MLP."""
        return {"hidden": self.hidden, "out": self.out}


def modulate(values: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    r""":math:`\gamma \odot h + \beta` on channels: ``(G, N, ...), (G, C), (G, C) -> (G, N, ...)``."""
    return torch.addcmul(along_channels(shift, values), along_channels(scale, values), values)
