"""Experts that all tasks share, mixed by gates: what MMoE and DSelect-k have in common."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from polytask.batch import Inputs, Targets
from polytask.nets.sharing.experts import first_of, run
from polytask.nets.sharing.gates import Gate, gate_diagnostics, mix, summary
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation
from polytask.nets.stacked import StackedStages


class Mixture(PartedShared):
    """Experts behind one stem, and gates that read the stem.

    :param experts: blocks and pools, stacked.
    :param gate: one gate per task, or one for all.
    :param is_one: whether there is one gate for all tasks.
    """

    def __init__(self, tasks: tuple[str, ...], experts: StackedStages, gate: Gate, *, is_one: bool = False) -> None:
        super().__init__(tasks, experts.width)
        self.experts = experts
        self.gate = gate
        self.is_one = is_one

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The mixture of each task, ``(N, T, D)``; with one gate that of all, ``(N, D)``."""
        everyone = range(self.experts.count)
        features = self.experts.start(inputs, everyone)
        gates = [0] if self.is_one else self.positions(tasks)
        weights, penalty = self.gate(summary(first_of(features), per_token=self.experts.per_token), gates)
        values = mix(weights, run(self.experts, features, everyone))
        side = {"gates": weights} if penalty is None else {"gates": weights, "penalty": penalty}
        return Representation(values[:, 0] if self.is_one else values, side)

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """What the gate asks for."""
        return representation.side.get("penalty")

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """The entropy of the gates and the use of the experts."""
        return gate_diagnostics(representation.side["gates"], ("all",) if self.is_one else self.tasks)

    def common(self) -> Mapping[str, nn.Module]:
        """Stem and experts, and the gate if it is one for all."""
        return {"experts": self.experts} | ({"gate": self.gate} if self.is_one else {})

    def own(self) -> Mapping[str, nn.Module]:
        """The tasks' gates."""
        return {} if self.is_one else {"gate": self.gate}
