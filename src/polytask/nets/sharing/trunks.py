"""A trunk of its own for every task: what soft sharing, cross-stitch, sluice and NDDR networks are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from polytask.batch import InputSpec
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.stacked import Stack, StackedStages


class Trunks(PartedShared):
    """T trunks as one stack; subclasses say what passes between them.

    :param trunks: one encoder for each task.
    :param joined: how many blocks, from the first, other tasks read too: they and the stems count as shared. -1: none,
        and the stems are private too.
    """

    def __init__(self, tasks: tuple[str, ...], trunks: Sequence[Stages], joined: int) -> None:
        super().__init__(tasks, trunks[0].width)
        self.stages = StackedStages(trunks)
        self.joined = joined

    def common(self) -> Mapping[str, nn.Module]:
        """A stem without weights."""
        return {} if isinstance(self.stages.stem, Stack) else {"stem": self.stages.stem}

    def own(self) -> Mapping[str, nn.Module]:
        """What follows the last block that other tasks read."""
        parts = {f"blocks.{i}": block for i, block in enumerate(self.stages.blocks) if i >= self.joined}
        return (self._stem() if self.joined < 0 else {}) | parts | {"pool": self.stages.pool}

    def reached(self) -> Mapping[str, nn.Module]:
        """What other tasks read."""
        parts = {f"blocks.{i}": block for i, block in enumerate(self.stages.blocks) if i < self.joined}
        return ({} if self.joined < 0 else self._stem()) | parts

    def _stem(self) -> dict[str, nn.Module]:
        return {"stem": self.stages.stem} if isinstance(self.stages.stem, Stack) else {}


def trunk_per_task(encoder: Encoder, spec: InputSpec, tasks: Sequence[str]) -> list[Stages]:
    """One encoder for each task, each with weights of its own."""
    return [encoder.build(spec) for _ in tasks]
