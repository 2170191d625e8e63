"""Shared and private spaces, kept apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.experts import parts, private_experts, run
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.presence import presence
from polytask.nets.sharing.reversal import reverse
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import StackedStages, repeated
from polytask.tasks.task import Target


@dataclass(frozen=True)
class SharedPrivate(Sharing):
    r"""A shared trunk and a private one per task, side by side: :math:`y_t = h_t([s(x); p_t(x)])`.

    Two penalties keep the shared space S of a batch and the private spaces :math:`P_t` apart. Over the rows that carry
    a label of task t,

    .. math:: L_\mathrm{diff} = \gamma \sum_t \lVert S^\top P_t \rVert_F^2 \quad \text{(frobenius, the paper)},
              \qquad \gamma \sum_t \mathrm{mean}\big((\hat S^\top \hat P_t)^2\big) \quad \text{(correlation)},

    where hats centre over rows and scale every row to length 1: this form of domain separation networks (Bousmalis et
    al., NeurIPS 2016), which the usual implementations take, does not grow with the batch or the width. And a
    discriminator D, whose gradient is reversed on its way into S, makes the shared space useless for telling tasks
    apart:

    .. math:: L_\mathrm{adv} = \lambda \, \mathrm{mean}_{(x, t)} \mathrm{CE}(D(s(x)), t)

    Deviation: a row counts once for every task that it carries a label of; the paper's rows have one task each. Where
    all rows carry all labels, D has nothing to learn: leave λ at 0 then.

    All trunks share one stem; private trunks run as one batched product.

    :param orthogonality: which of the two forms.
    :param diff_weight: γ; 0: no such penalty. The paper has 0.01.
    :param adversarial_weight: λ; 0: no discriminator. The paper has 0.05.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Liu, Qiu, Huang", "Adversarial multi-task learning for text classification", "ACL", 2017
    )

    orthogonality: Literal["frobenius", "correlation"] = "correlation"
    diff_weight: float = 0.01
    adversarial_weight: float = 0.0

    def __post_init__(self) -> None:
        at_least(0, diff_weight=self.diff_weight, adversarial_weight=self.adversarial_weight)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """A shared trunk, private trunks, and the discriminator if it is wanted."""
        tasks = tuple(target.task.name for target in targets)
        return SharedPrivateShared(self, tasks, encoder.build(spec), private_experts(encoder, spec, len(tasks)))


class SharedPrivateShared(PartedShared):
    """One shared trunk beside T private ones. The discriminator has one row of weights per task."""

    def __init__(self, options: SharedPrivate, tasks: tuple[str, ...], stages: Stages, private: StackedStages) -> None:
        super().__init__(tasks, 2 * stages.width)
        self.options = options
        self.stages = stages
        self.private = private
        self.discriminator = nn.Linear(stages.width, len(tasks)) if options.adversarial_weight else None

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """Shared, then private features: ``(N, T, 2 D)``."""
        positions = self.positions(tasks)
        stem = self.stages.stem(inputs)
        private = run(self.private, repeated(stem, len(positions)), positions).transpose(0, 1)
        features = stem
        for block in self.stages.blocks:
            features = block(features)
        shared: Tensor = self.stages.pool(features)
        values = torch.cat([shared[:, None].expand_as(private), private], -1)
        return Representation(values, {"shared": shared, "private": private})

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """Differences, and the discriminator's loss."""
        shared, private = representation.side["shared"].float(), representation.side["private"].float()
        present = presence(targets, self.tasks, len(shared))
        terms = []
        if self.options.diff_weight:
            measure = overlap if self.options.orthogonality == "frobenius" else correlation
            terms.append(self.options.diff_weight * measure(shared, private, present).sum())
        if self.discriminator is not None:
            logits = self.discriminator(reverse(shared))
            terms.append(self.options.adversarial_weight * task_cross_entropy(logits, present))
        return torch.stack(terms).sum() if terms else None

    def common(self) -> Mapping[str, nn.Module]:
        """The shared trunk, with the stem of all."""
        return {"stages": self.stages}

    def own(self) -> Mapping[str, nn.Module]:
        """Private trunks, and the task's row of the discriminator."""
        mine = parts(self.private)
        return mine if self.discriminator is None else {**mine, "discriminator": self.discriminator}


def overlap(shared: Tensor, private: Tensor, present: Tensor) -> Tensor:
    r""":math:`\lVert S^\top P_t \rVert_F^2` of every task.

    :param shared: ``(N, D)``.
    :param private: ``(N, T, E)``.
    :param present: ``(N, T)``: 1 where a row counts, else 0.
    """
    return torch.einsum("nd,nt,nte->tde", shared, present, private).square().sum((1, 2))


def correlation(shared: Tensor, private: Tensor, present: Tensor) -> Tensor:
    r"""Mean squared entry of :math:`\hat S^\top \hat P_t` of every task; shapes as in :func:`overlap`."""
    count = present.sum(0).clamp(min=1)
    means = torch.einsum("nd,nt->td", shared, present) / count[:, None]
    own_means = torch.einsum("nte,nt->te", private, present) / count[:, None]
    rows = functional.normalize(shared[:, None] - means, dim=-1)  # a row of zeros stays one
    own_rows = functional.normalize(private - own_means, dim=-1)
    return torch.einsum("ntd,nt,nte->tde", rows, present, own_rows).square().mean((1, 2))


def task_cross_entropy(logits: Tensor, present: Tensor) -> Tensor:
    """Mean cross-entropy over the pairs of a row and a task that it carries a label of: ``(N, T), (N, T) -> ()``."""
    return -(logits.log_softmax(-1) * present).sum() / present.sum().clamp(min=1)
