"""Probabilities that multiply along a funnel of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.experts import parts, private_experts, run
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import repeated
from polytask.tasks.binary import Binary
from polytask.tasks.parents import generations
from polytask.tasks.task import Target

LEAST, MOST = 1e-3, 1 - 1e-3
"""Bounds of the conditional probability that a head starts at."""


@dataclass(frozen=True)
class ESMM(Sharing):
    r"""A trunk per task behind one stem; the probability of a task is a share of its parent's.

    With :math:`\sigma(b_t)` what the head of task t says of a row that has come as far as its parent s,

    .. math:: p_t = p_s \, \sigma(b_t), \qquad
              \mathrm{logit}(p_t) = -\log\big(e^{-a_s} + e^{-b_t} + e^{-a_s - b_t}\big), \quad a_s = \mathrm{logit}(p_s)

    so that no probability exceeds that of the step before. A label of a child counts every row: click *and* buy, of all
    that were shown. Only products have losses; what heads of children say alone has none. The losses of children
    reach the trunks and heads of their parents, so both count as shared.

    Deviations: each task has one parent at most, in chains and trees of any depth; the paper has two tasks. A head
    starts at the share that its task has of its parent's labels.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Ma, Zhao, Huang, Wang, Hu, Zhu, Gai",
        "Entire space multi-task model: an effective approach for estimating post-click conversion rate",
        "SIGIR",
        2018,
    )
    coupled: ClassVar[bool] = True

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Trunks, and who is whose parent.

        :raises polytask.errors.ConfigError: a task has two parents, or it or its parent is not binary.
        """
        return ESMMShared(encoder, spec, targets)


class ESMMShared(PartedShared):
    """T trunks, run as one batch; answers are linked parents first."""

    def __init__(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> None:
        names = tuple(target.task.name for target in targets)
        stem = encoder.build(spec).stem
        trunks = private_experts(encoder, spec, len(names))
        super().__init__(names, trunks.width)
        self.stem = stem
        self.trunks = trunks
        self.parents = _parents(targets)
        ages = generations([target.task for target in targets])
        self.order = sorted(self.parents, key=lambda name: ages[name])
        start = {target.task.name: float(target.bias()[0]) for target in targets if target.task.name in self._linked()}
        self.offsets = {name: _share(start[name], start[parent]) - start[name] for name, parent in self.parents.items()}

    @property
    def is_linked(self) -> bool:
        """Whether any task has a parent."""
        return bool(self.parents)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What each task's own trunk makes of the rows: ``(N, T, D)``."""
        stem: Features = self.stem(inputs)
        positions = self.positions(tasks)
        return Representation(run(self.trunks, repeated(stem, len(positions)), positions).transpose(0, 1))

    def link(self, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits of products, for what heads say of the rows that have come as far as the parent."""
        linked = dict(outputs)
        for name in self.order:
            linked[name] = product_logit(linked[self.parents[name]], outputs[name] + self.offsets[name])
        return linked

    def common(self) -> Mapping[str, nn.Module]:
        """The stem."""
        return {"stem": self.stem}

    def reached(self) -> Mapping[str, nn.Module]:
        """The trunks."""
        return parts(self.trunks) if self.parents else {}

    def own(self) -> Mapping[str, nn.Module]:
        """The trunks, when no task has a parent."""
        return {} if self.parents else parts(self.trunks)

    def _linked(self) -> set[str]:
        return {*self.parents, *self.parents.values()}


def product_logit(a: Tensor, b: Tensor) -> Tensor:
    r""":math:`\mathrm{logit}(\sigma(a) \, \sigma(b))`, exact where either probability is next to 0 or 1."""
    return -torch.logsumexp(torch.stack([-a, -b, -a - b]), 0)


def _share(child: float, parent: float) -> float:
    """The logit of the child's base rate over its parent's, both given as logits."""
    share = (1 + math.exp(-parent)) / (1 + math.exp(-child))
    share = min(max(share, LEAST), MOST)
    return math.log(share / (1 - share))


def _parents(targets: Sequence[Target]) -> dict[str, str]:
    """Child -> parent, of the tasks whose parent is among them."""
    tasks = {target.task.name: target.task for target in targets}
    found = {name: [parent for parent in task.parents if parent in tasks] for name, task in tasks.items()}
    for name, parents in found.items():
        if len(parents) > 1:
            raise ConfigError(
                f"expected one parent at most under 'esmm', found {len(parents)}: {', '.join(parents)}.",
                where=f"task {name!r}",
                do="Keep the step that comes just before it.",
            )
        for one in (name, *parents) if parents else ():
            if not isinstance(tasks[one], Binary):
                raise ConfigError(
                    "expected a binary task: 'esmm' multiplies probabilities of a child and its parent.",
                    where=f"task {one!r}",
                    do="Declare no parents between tasks of other kinds, or choose the sharing 'aitm'.",
                )
    return {name: parents[0] for name, parents in found.items() if parents}
