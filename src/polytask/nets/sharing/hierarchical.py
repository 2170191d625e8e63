"""Tasks at different depths of one trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.depths import groups_of
from polytask.nets.sharing.labels import LabelEmbedding
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.presence import is_linear
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.successive import Snapshot
from polytask.tasks.parents import generations
from polytask.tasks.task import Target, Task


@dataclass(frozen=True)
class Hierarchical(Sharing):
    r"""One trunk, with simple tasks attached at low depths and the tasks that build on them higher up.

    Task t is answered from :math:`\mathrm{pool}^{l_t}(x^{l_t})`, so its loss reaches no block above its depth (Søgaard
    and Goldberg, ACL 2016). With label embeddings, what is above a parent p reads its likely labels beside its features
    (joint many-task model):

    .. math:: x^{l_p} \leftarrow x^{l_p} + \sum_j p_p(j) \, e_p(j)

    Without ``depths``, tasks of one generation of ``parents`` share a depth, and generations are spread evenly over the
    blocks; without parents all tasks sit on the last block, which is hard sharing. Pools are one per depth.

    Deviations: all tasks learn from every batch, not in turns. Label embeddings are added to the features (the paper
    appends them, which differs by a linear map), and come from a copy of the parent's head inside the trunk that learns
    from the parent's labels, since what higher tasks teach it must not reach the parent's own head. Successive
    regularisation holds the trunk near its values at the start of the epoch, where the paper has a turn of each task.

    :param depths: task -> number of blocks below its pool, from 1 on; tasks left out follow their parents.
    :param label_embeddings: whether higher tasks read the likely labels of parents (not those of lists and trees).
    :param label_weight: weight of the losses that teach them, in units of the best constant predictor.
    :param successive_weight: δ of the penalty :math:`\delta \lVert \theta - \theta' \rVert^2`; the paper has 0.01.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Hashimoto, Xiong, Tsuruoka, Socher",
        "A joint many-task model: growing a neural network for multiple NLP tasks",
        "EMNLP",
        2017,
    )
    coupled: ClassVar[bool] = True

    depths: Mapping[str, int] = field(default_factory=dict)
    label_embeddings: bool = True
    label_weight: float = 1.0
    successive_weight: float = 0.0

    def __post_init__(self) -> None:
        at_least(0, label_weight=self.label_weight, successive_weight=self.successive_weight)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk, a pool for every depth with tasks, and label embeddings of parents.

        :raises polytask.errors.ConfigError: a depth that the encoder does not have; a parent that is not below its
            child; more generations of tasks than blocks.
        """
        return HierarchicalShared(self, encoder, spec, targets)


class HierarchicalShared(PartedShared):
    """One trunk with tasks at several depths."""

    def __init__(self, options: Hierarchical, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> None:
        stages = encoder.build(spec)
        tasks = [target.task for target in targets]
        super().__init__(tuple(task.name for task in tasks), stages.width)
        self.options = options
        self.stem, self.blocks = stages.stem, stages.blocks
        self.depths = depths_of(tasks, options.depths, len(stages.blocks), strict=options.label_embeddings)
        levels = sorted(set(self.depths.values()))
        self.pools = nn.ModuleList([*(encoder.build(spec).pool for _ in levels[1:]), stages.pool])
        self.levels = {depth: i for i, depth in enumerate(levels)}
        parents = {parent for task in tasks for parent in task.parents} if options.label_embeddings else set()
        self.labels = nn.ModuleList(
            LabelEmbedding(t, stages.width) for t in targets if t.task.name in parents and is_linear(t)
        )
        self.before = Snapshot(self.blocks) if options.successive_weight else None

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What the pool at each task's depth gives: ``(N, T, D)``."""
        wanted = self.tasks if tasks is None else tasks
        features: Features = self.stem(inputs)
        pooled: dict[int, Tensor] = {}
        side: dict[str, Tensor] = {}
        for depth, block in enumerate(self.blocks[: max(self.levels)], start=1):
            features = block(features)
            if depth in self.levels:
                pooled[depth] = self.pools[self.levels[depth]](features)
                for label in self._labels(depth):
                    side[f"label/{label.head.name}"] = outputs = label.head(pooled[depth])
                    features = label.add(features, outputs)
        values = torch.stack([pooled[self.depths[task]] for task in wanted], 1)
        return Representation(values, side)

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """The losses of the label embeddings' heads, and how far the trunk has moved since the epoch began."""
        terms = [
            self.options.label_weight * label.head.loss(representation.side[f"label/{label.head.name}"], targets)
            for label in self._labels()
        ]
        if self.before is not None:
            terms.append(self.options.successive_weight * self.before.distance(self.blocks))
        return torch.stack(terms).sum() if terms else None

    def advance(self, progress: float) -> None:
        """Remember the trunk at the start of an epoch."""
        if self.before is not None:
            self.before.take(self.blocks, progress)

    def common(self) -> Mapping[str, nn.Module]:
        """Everything: what is attached where serves all tasks above."""
        parts: dict[str, nn.Module] = {"stem": self.stem, "blocks": self.blocks, "pools": self.pools}
        parts |= {f"labels.{label.head.name}": label for label in self._labels()}
        return parts if self.before is None else parts | {"before": self.before}

    def _labels(self, depth: int | None = None) -> list[LabelEmbedding]:
        """The label embeddings of parents, or of those at one depth."""
        found = [label for label in self.labels if isinstance(label, LabelEmbedding)]
        return found if depth is None else [label for label in found if self.depths[label.head.name] == depth]


def depths_of(tasks: Sequence[Task], chosen: Mapping[str, int], blocks: int, *, strict: bool = True) -> dict[str, int]:
    """The depth of every task, from 1 (behind the first block) to ``blocks``.

    :param strict: whether parents must be below their children.
    :raises polytask.errors.ConfigError: see :meth:`Hierarchical.build`.
    """
    ages = generations(tasks)
    count = max(ages.values()) + 1
    left_out = [name for name in ages if name not in chosen]
    if left_out and count > blocks:
        raise ConfigError(
            f"the tasks are {count} generations, the encoder has {blocks} blocks.",
            where="sharing.depths",
            do=f"Give the encoder a depth of {count}, or say the depth of every task.",
        )
    even = [group[-1] + 1 for group in groups_of(blocks, count)] if left_out else []
    depths = {name: chosen[name] if name in chosen else even[age] for name, age in ages.items()}
    for name, depth in depths.items():
        if not 1 <= depth <= blocks:
            raise ConfigError(f"expected a depth from 1 to {blocks}, found {depth}.", where=f"sharing.depths.{name}")
    for task in tasks:
        for parent in task.parents:
            if strict and depths.get(parent, 0) >= depths[task.name]:
                raise ConfigError(
                    f"the parent {parent!r} is at depth {depths[parent]}, its child {task.name!r} at "
                    f"{depths[task.name]}.",
                    where="sharing.depths",
                    do="Attach a parent below its child, or set label_embeddings: false.",
                )
    return depths
