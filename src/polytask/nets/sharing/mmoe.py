"""The multi-gate mixture of experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.experts import shared_experts
from polytask.nets.sharing.gates import SoftmaxGate
from polytask.nets.sharing.mixture import Mixture
from polytask.nets.sharing.sharing import Shared, Sharing
from polytask.tasks.task import Target


@dataclass(frozen=True)
class MMoE(Sharing):
    r"""Experts for all tasks, mixed for each task by a gate of its own.

    .. math:: z_t = \sum_{i=1}^n g_{ti}(x) \, e_i(x), \qquad g_t(x) = \mathrm{softmax}(W_t x), \qquad y_t = h_t(z_t)

    An expert is a copy of the encoder's blocks; all experts run as one batched product. They share the stem, which
    holds what is tied to the columns. Gates read the stem's output: the columns themselves for tables, the mean of
    tokens or of a map otherwise. Experts are shared, gates are private. With one expert this is hard sharing.

    :param experts: n. Each has the encoder's full width; divide the width by n to keep the size of one trunk.
    :param one_gate: one gate for all tasks, the one-gate mixture of experts (OMoE) of the paper.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Ma, Zhao, Yi, Chen, Hong, Chi",
        "Modeling task relationships in multi-task learning with multi-gate mixture-of-experts",
        "KDD",
        2018,
    )

    experts: int = 4
    one_gate: bool = False

    def __post_init__(self) -> None:
        at_least(1, experts=self.experts)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Experts and gates."""
        tasks = tuple(target.task.name for target in targets)
        experts = shared_experts(encoder, spec, self.experts)
        gate = SoftmaxGate(1 if self.one_gate else len(tasks), self.experts, experts.channels)
        return Mixture(tasks, experts, gate, is_one=self.one_gate)
