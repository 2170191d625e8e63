"""Adaptive information transfer along a chain of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.experts import parts, private_experts, run
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import repeated
from polytask.tasks.binary import Binary
from polytask.tasks.parents import generations
from polytask.tasks.task import Target


@dataclass(frozen=True)
class AITM(Sharing):
    r"""A trunk per task behind one stem; a task attends to what its parents pass on.

    With :math:`q_t` the task's own features and :math:`g_{st}` a linear gate from each parent s,

    .. math:: u &\in \{q_t\} \cup \{g_{st}(z_s) : s \in \mathrm{parents}(t)\} \\
              w_u &= \mathrm{softmax}_u\big(\langle h^1_t(u), h^2_t(u) \rangle / \sqrt{D}\big), \qquad
              z_t = \sum_u w_u \, h^3_t(u)

    A task without parents has :math:`z_t = q_t`. The losses of children reach the trunks of their parents, so trunks,
    gates and attention count as shared, and a model cannot do without the other tasks.

    Between binary tasks the behavioural-expectation calibrator asks that no probability exceeds that of the step
    before. The total gets, over the rows of a batch,

    .. math:: \alpha \, \frac{1}{N} \sum_n \sum_{t} \sum_{s \in \mathrm{parents}(t)} \max(p_{nt} - p_{ns}, 0)

    Deviation: a task may have several parents; the paper has a chain.

    :param calibrator: α. 0 where a child can be true without its parent.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Xi, Chen, Yan, Zhang, Zhu, Zhuang, Chen",
        "Modeling the sequential dependence among audience multi-step conversions with multi-task learning in targeted "
        "display advertising",
        "KDD",
        2021,
    )
    coupled: ClassVar[bool] = True

    calibrator: float = 0.6

    def __post_init__(self) -> None:
        at_least(0, calibrator=self.calibrator)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Trunks, and a transfer for every task with parents."""
        return AITMShared(self, encoder, spec, targets)


class AITMShared(PartedShared):
    """T trunks, run as one batch, then the transfers, parents first."""

    def __init__(self, options: AITM, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> None:
        tasks = [target.task for target in targets]
        names = tuple(task.name for task in tasks)
        stem = encoder.build(spec).stem
        trunks = private_experts(encoder, spec, len(tasks))
        super().__init__(names, trunks.width)
        self.stem = stem
        self.trunks = trunks
        self.parents = {task.name: tuple(p for p in task.parents if p in names) for task in tasks}
        self.calibrator = options.calibrator
        coins = {task.name for task in tasks if isinstance(task, Binary)}
        self.steps = [(p, c) for c in names for p in self.parents[c] if {p, c} <= coins]
        ages = generations(tasks)
        self.receivers = sorted((name for name in names if self.parents[name]), key=lambda name: ages[name])
        self.transfers = nn.ModuleList(Transfer(trunks.width, len(self.parents[name])) for name in self.receivers)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What each task has after its transfer: ``(N, T, D)``."""
        stem: Features = self.stem(inputs)
        everyone = range(len(self.tasks))
        own = run(self.trunks, repeated(stem, len(everyone)), everyone)
        after = {name: own[i] for i, name in enumerate(self.tasks)}
        side = {}
        for name, transfer in zip(self.receivers, self.transfers, strict=True):
            after[name], weights = transfer(after[name], [after[parent] for parent in self.parents[name]])
            side[f"transfer/{name}"] = weights
        return Representation(torch.stack([after[name] for name in tasks or self.tasks], 1), side)

    @property
    def judges_answers(self) -> bool:
        """Whether a binary task has a binary parent, and the calibrator a weight."""
        return bool(self.steps) and self.calibrator > 0

    def answer_penalty(self, answers: Mapping[str, Tensor]) -> Tensor:
        """The calibrator: how far probabilities exceed those of the step before, α times the mean over rows."""
        above = [answers[child].sigmoid() - answers[parent].sigmoid() for parent, child in self.steps]
        rows = max(len(above[0]), 1)
        return self.calibrator * torch.cat(above, 1).relu().sum() / rows

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """How much each child takes from its parents, from 0 to 1."""
        side = representation.side.items()
        return {f"from_parents/{name.partition('/')[2]}": 1 - w.detach()[:, 0].mean() for name, w in side}

    def common(self) -> Mapping[str, nn.Module]:
        """The stem and the transfers."""
        return {"stem": self.stem} | {
            f"transfers.{name}": transfer for name, transfer in zip(self.receivers, self.transfers, strict=True)
        }

    def reached(self) -> Mapping[str, nn.Module]:
        """The trunks."""
        return parts(self.trunks) if self.receivers else {}

    def own(self) -> Mapping[str, nn.Module]:
        """The trunks, when no task has a parent."""
        return {} if self.receivers else parts(self.trunks)


class Transfer(nn.Module):
    """What a task takes from P parents: ``(N, D)`` and P times ``(N, D)`` to ``(N, D)``."""

    def __init__(self, width: int, parents: int) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(parents))
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, own: Tensor, parents: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The task's features after the transfer, and the weights ``(N, 1 + P)``, its own first."""
        passed = [gate(parent) for gate, parent in zip(self.gates, parents, strict=True)]
        tokens = torch.stack([own, *passed], 1)
        return attend(self.query(tokens), self.key(tokens), self.value(tokens))


def attend(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    r"""Every token against itself: :math:`w_u = \mathrm{softmax}_u(q_u \cdot k_u / \sqrt{D})`, :math:`\sum_u w_u v_u`.

    :param query: ``(N, U, D)``, like ``key`` and ``value``.
    :return: ``(N, D)`` and the weights ``(N, U)``.
    """
    weights = ((query * key).sum(-1) * query.shape[-1] ** -0.5).softmax(-1)
    return (weights[..., None] * value).sum(1), weights
