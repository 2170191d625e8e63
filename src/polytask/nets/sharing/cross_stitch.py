"""Cross-stitch networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import above, within
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.stitches import Stitch, near_identity
from polytask.nets.sharing.trunks import Trunks, trunk_per_task
from polytask.tasks.task import Target


@dataclass(frozen=True)
class CrossStitch(Sharing):
    r"""A trunk for each task; after a block, each task goes on with a learned mixture of all tasks' features.

    .. math:: \tilde x_t = \sum_s a_{ts} \, x_s

    Coefficients start near the identity: ``own`` on the diagonal and (1 - own) / (T - 1) beside it. Trunks are read by
    all tasks and count as shared up to the last unit; rows of the last unit and what follows it are private.

    :param own: the coefficient of a task's own features at the start.
    :param per: ``channel``: coefficients for every channel, as in the paper; ``unit``: one matrix per unit.
    :param after: blocks (from 1) that are followed by a unit; default: all.
    :param pace: how many times as fast as other weights the coefficients learn under Adam. The paper, with SGD, found
        10 to 1000 times good.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Misra, Shrivastava, Gupta, Hebert", "Cross-stitch networks for multi-task learning", "CVPR", 2016
    )
    coupled = True

    own: float = 0.9
    per: Literal["channel", "unit"] = "channel"
    after: tuple[int, ...] = ()
    pace: float = 10.0

    def __post_init__(self) -> None:
        within(0, 1, own=self.own)
        above(0, pace=self.pace)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """T trunks with units between them.

        :raises polytask.errors.ConfigError: ``after`` names a block that the encoder does not have.
        """
        tasks = tuple(target.task.name for target in targets)
        trunks = trunk_per_task(encoder, spec, tasks)
        blocks = len(trunks[0].blocks)
        after = sorted(set(self.after)) or list(range(1, blocks + 1))
        if not 1 <= after[0] <= after[-1] <= blocks:
            raise ConfigError(f"expected blocks from 1 to {blocks}, found {list(after)}.", where="sharing.after")
        return CrossStitchShared(tasks, trunks, after, self)


class CrossStitchShared(Trunks):
    """T trunks and the units between them."""

    def __init__(
        self, tasks: tuple[str, ...], trunks: Sequence[Stages], after: Sequence[int], options: CrossStitch
    ) -> None:
        super().__init__(tasks, trunks, joined=after[-1])
        channels = self.width if options.per == "channel" else None
        start = near_identity(len(tasks), options.own)[:, None, :, None]
        self.units = nn.ModuleDict({str(i): Stitch(start, channels=channels, pace=options.pace) for i in after})

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The end of each trunk, ``(N, T, D)``. All trunks run up to the last unit, whatever the tasks."""
        copies = self.positions(None)
        features = self.stages.start(inputs, copies)
        for block in range(1, len(self.stages.blocks) + 1):
            features = self.stages.step(block - 1, features, copies)
            if block == self.joined:
                copies = self.positions(tasks)
            if str(block) in self.units:
                features = Features(self.units[str(block)](features.values, copies), features.mask)
        return Representation(self.stages.end(features, copies).transpose(0, 1))

    def common(self) -> Mapping[str, nn.Module]:
        """Units that are followed by another."""
        return {**super().common(), **{f"units.{i}": u for i, u in self.units.items() if i != str(self.joined)}}

    def own(self) -> Mapping[str, nn.Module]:
        """The rows of the last unit, and what follows it."""
        return {**super().own(), f"units.{self.joined}": self.units[str(self.joined)]}
