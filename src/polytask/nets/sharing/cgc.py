"""Customised gate control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.experts import (
    copies_of,
    first_of,
    mix_own,
    parts,
    private_experts,
    run,
    shared_experts,
)
from polytask.nets.sharing.gates import SoftmaxGate, gate_diagnostics, shared_and_own, summary
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import repeated
from polytask.tasks.task import Target


@dataclass(frozen=True)
class CGC(Sharing):
    r"""Shared experts and experts of each task's own; a task's gate mixes only those two kinds.

    .. math:: z_t = \sum_{i=1}^{n_s} g_{ti}(x) \, e_i(x) + \sum_{j=1}^{n_t} g_{t, n_s + j}(x) \, e^t_j(x), \qquad
              g_t(x) = \mathrm{softmax}(W_t x)

    An expert is a copy of the encoder's blocks; shared experts run as one batched product, private ones as another.
    All read one stem. No gradient of task t reaches the private experts of other tasks.

    :param shared_experts: :math:`n_s`.
    :param task_experts: :math:`n_t`, for every task.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Tang, Liu, Zhao, Gong",
        "Progressive layered extraction (PLE): a novel multi-task learning model for personalized recommendations",
        "RecSys",
        2020,
    )

    shared_experts: int = 2
    task_experts: int = 1

    def __post_init__(self) -> None:
        at_least(1, shared_experts=self.shared_experts, task_experts=self.task_experts)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Shared experts, private experts and gates."""
        return CGCShared(self, encoder, spec, tuple(target.task.name for target in targets))


class CGCShared(PartedShared):
    """One level of extraction."""

    def __init__(self, options: CGC, encoder: Encoder, spec: InputSpec, tasks: tuple[str, ...]) -> None:
        shared = shared_experts(encoder, spec, options.shared_experts)
        super().__init__(tasks, shared.width)
        self.shared = shared
        self.private = private_experts(encoder, spec, len(tasks) * options.task_experts)
        self.each = options.task_experts
        self.gate = SoftmaxGate(len(tasks), options.shared_experts + options.task_experts, shared.channels)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The mixture of each task: ``(N, T, D)``."""
        positions = self.positions(tasks)
        start = self.shared.start(inputs, range(self.shared.count))
        stem = first_of(start)
        weights, _ = self.gate(summary(stem, per_token=self.shared.per_token), positions)
        shared = run(self.shared, start, range(self.shared.count))
        copies = copies_of(positions, self.each)
        own = run(self.private, repeated(stem, len(copies)), copies)
        return Representation(mix_own(weights, shared, own), {"gates": weights})

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """The entropy of the gates, and the share of the private experts in each task's mixture."""
        gates = representation.side["gates"].detach()
        private = gates[..., self.shared.count :].sum(-1).mean(0)
        found = gate_diagnostics(gates, self.tasks, shared_and_own(self.shared.count, self.each))
        found.pop("expert_use")  # the gates mix different experts
        return found | {f"private_share/{task}": private[i] for i, task in enumerate(self.tasks)}

    def common(self) -> Mapping[str, nn.Module]:
        """Stem and shared experts."""
        return {"shared": self.shared}

    def own(self) -> Mapping[str, nn.Module]:
        """Private experts and gates."""
        return {**parts(self.private), "gate": self.gate}
