"""Several heads per task, at several depths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.depths import groups_of
from polytask.nets.sharing.presence import is_linear
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.side_heads import SideHead
from polytask.tasks.task import Target


@dataclass(frozen=True)
class MultiLevel(Sharing):
    r"""One trunk, with heads of every task at several depths.

    .. math:: y_t = h_t(\mathrm{pool}(x^L)), \qquad
              \text{penalty} = \frac{w}{L - 1} \sum_{l < L} \sum_t L_t\big(h^l_t(\mathrm{pool}^l(x^l))\big)

    The trunk is shared with a pool per depth; heads at lower depths are private, are used in training only, and their
    losses are measured in units of the best constant predictor, like all losses. They are added to the total as they
    are: no balancer weighs them. With ``answer="all"`` the answering heads read the pools of all depths, side by
    side, which is a sum of one head per depth.

    :param levels: depths with heads, spread evenly over the encoder's blocks; 0: behind every block.
    :param side_weight: w; 0: no losses at lower depths.
    :param answer: what answering heads read: the last depth or all.
    """

    paper: ClassVar[Paper | None] = Paper("Lee, Xie, Gallagher, Zhang, Tu", "Deeply-supervised nets", "AISTATS", 2015)

    levels: int = 0
    side_weight: float = 0.3
    answer: Literal["last", "all"] = "all"

    def __post_init__(self) -> None:
        at_least(0, levels=self.levels, side_weight=self.side_weight)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk, a pool per depth, and side heads.

        :raises polytask.errors.ConfigError: more levels than the encoder has blocks.
        """
        return MultiLevelShared(self, encoder, spec, targets)


class MultiLevelShared(Shared):
    """A trunk with pools and side heads at several depths."""

    def __init__(self, options: MultiLevel, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> None:
        stages = encoder.build(spec)
        groups = groups_of(len(stages.blocks), options.levels)
        is_all = options.answer == "all"
        super().__init__(tuple(target.task.name for target in targets), stages.width * (len(groups) if is_all else 1))
        self.options = options
        self.stem, self.blocks = stages.stem, stages.blocks
        self.ends = {group[-1]: level for level, group in enumerate(groups)}
        lower = range(len(groups) - 1) if is_all or options.side_weight else ()
        self.pools = nn.ModuleList([*(encoder.build(spec).pool for _ in lower), stages.pool])
        with_heads = lower if options.side_weight else ()
        self.side = nn.ModuleList(
            nn.ModuleList(SideHead(t, stages.width) for _ in with_heads if is_linear(t)) for t in targets
        )
        self.levels = len(with_heads)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """One vector for all tasks: ``(N, D)``, or ``(N, L D)`` when heads read all depths."""
        features: Features = self.stem(inputs)
        pooled = []
        lower = len(self.pools) - 1
        for i, block in enumerate(self.blocks):
            features = block(features)
            level = self.ends.get(i)
            if level is not None and (level < lower or i == len(self.blocks) - 1):
                pooled.append(self.pools[min(level, lower)](features))
        values = torch.cat(pooled, 1) if self.options.answer == "all" else pooled[-1]
        return Representation(values, {f"level_{level}": values for level, values in enumerate(pooled[:-1])})

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """The losses of the side heads."""
        losses = [
            head.loss(head(representation.side[f"level_{level}"]), targets)
            for heads in self._heads()
            for level, head in enumerate(heads)
        ]
        if not losses:
            return None
        return self.options.side_weight / self.levels * torch.stack(losses).sum()

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Stem, blocks and pools."""
        for module in (self.stem, self.blocks, self.pools):
            yield from module.parameters()

    def task_parameters(self, task: str) -> Iterator[Tensor]:
        """The task's side heads."""
        return self.side[self.tasks.index(task)].parameters()

    def task_state(self, task: str | None) -> dict[str, Tensor]:
        """Stem, blocks and pools for all tasks; side heads for one."""
        if task is not None:
            return {f"side.{k}": v for k, v in self.side[self.tasks.index(task)].state_dict().items()}
        parts = {"stem": self.stem, "blocks": self.blocks, "pools": self.pools}
        return {f"{name}.{k}": v for name, module in parts.items() for k, v in module.state_dict().items()}

    def _heads(self) -> list[list[SideHead]]:
        """Side heads by task, by level."""
        return [
            [h for h in heads if isinstance(h, SideHead)] for heads in self.side if isinstance(heads, nn.ModuleList)
        ]
