"""Progressive layered extraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import at_least
from polytask.nets.sharing.depths import groups_of
from polytask.nets.sharing.experts import features_of, first_of, mix_own, repeated_each, stemless, summaries, tensor_of
from polytask.nets.sharing.gates import SoftmaxGate, gate_diagnostics, mix, shared_and_own, summary
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import Stack, repeated
from polytask.tasks.task import Target


@dataclass(frozen=True)
class PLE(Sharing):
    r"""Levels of shared and private experts; a stream of features per task, and one that all tasks share.

    Level l extracts from the streams :math:`x^{l-1}_t` of the tasks and the shared stream :math:`x^{l-1}_s`, which
    all start with the stem:

    .. math:: x^l_t &= \mathrm{softmax}(W^l_t x^{l-1}_t) \cdot [e^l_i(x^{l-1}_s)]_{i \le n_s}
                      \cup [e^{l,t}_j(x^{l-1}_t)]_{j \le n_t} \\
              x^l_s &= \mathrm{softmax}(W^l_s x^{l-1}_s) \cdot [e^l_i(x^{l-1}_s)]_i \cup
                      [e^{l,u}_j(x^{l-1}_u)]_{u, j} \quad \text{(all experts of all tasks)}

    The last level has no shared stream; each task pools its own. One level is customised gate control, but for the
    pool. An expert of a level is a copy of some consecutive blocks of the encoder.

    Through the shared stream the losses of all tasks reach the private experts of all levels but the last: those count
    as shared parameters, and a model cannot do without the other tasks.

    :param shared_experts: :math:`n_s`, per level.
    :param task_experts: :math:`n_t`, per level and task.
    :param levels: how many; the encoder's blocks are spread evenly over them. 0: one block per level.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Tang, Liu, Zhao, Gong",
        "Progressive layered extraction (PLE): a novel multi-task learning model for personalized recommendations",
        "RecSys",
        2020,
    )
    coupled: ClassVar[bool] = True

    shared_experts: int = 1
    task_experts: int = 1
    levels: int = 0

    def __post_init__(self) -> None:
        at_least(1, shared_experts=self.shared_experts, task_experts=self.task_experts)
        at_least(0, levels=self.levels)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Stem, levels, and a pool per task.

        :raises polytask.errors.ConfigError: more levels than the encoder has blocks.
        """
        return PLEShared(self, encoder, spec, tuple(target.task.name for target in targets))


class PLEShared(PartedShared):
    """Levels of extraction."""

    def __init__(self, options: PLE, encoder: Encoder, spec: InputSpec, tasks: tuple[str, ...]) -> None:
        first = encoder.build(spec)
        super().__init__(tasks, first.width)
        self.stem = first.stem
        shared = stemless(encoder, spec, options.shared_experts)
        private = stemless(encoder, spec, len(tasks) * options.task_experts)
        groups = groups_of(len(first.blocks), options.levels)
        self.levels = nn.ModuleList(
            Level(
                shared=_stack(shared, blocks),
                private=_stack(private, blocks),
                tasks=len(tasks),
                channels=first.width if level else first.channels,
                is_last=level == len(groups) - 1,
                per_token=first.per_token,
            )
            for level, blocks in enumerate(groups)
        )
        self.names = shared_and_own(options.shared_experts, options.task_experts)
        self.pool = Stack([one.pool for one in private[:: options.task_experts]], stackable=first.stackable)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What each task extracts: ``(N, T, D)``. All tasks are run: the shared stream needs them."""
        common: Features = self.stem(inputs)
        streams = repeated(common, len(self.tasks))
        gates = common.values
        for level in self.levels:
            streams, common, gates = level(streams, common)
        values = tensor_of(self.pool(streams)).transpose(0, 1)
        return Representation(values[:, self.positions(tasks)], {"gates": gates})

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """The entropy of the gates of the last level."""
        found = gate_diagnostics(representation.side["gates"], self.tasks, self.names)
        found.pop("expert_use")  # the gates mix different experts
        return found

    def common(self) -> Mapping[str, nn.Module]:
        """Stem, shared experts, and the gates of the shared stream."""
        modules: dict[str, nn.Module] = {"stem": self.stem}
        for i, level in enumerate(_levels(self.levels)):
            modules[f"levels.{i}.shared"] = level.shared
            if level.common_gate is not None:
                modules[f"levels.{i}.common_gate"] = level.common_gate
        return modules

    def reached(self) -> Mapping[str, nn.Module]:
        """Private experts whose outputs enter the shared stream, and the gates of the streams that feed them."""
        levels = _levels(self.levels)
        experts = {f"levels.{i}.private": level.private for i, level in enumerate(levels[:-1])}
        return experts | {f"levels.{i}.gate": level.gate for i, level in enumerate(levels[:-2])}

    def own(self) -> Mapping[str, nn.Module]:
        """Private experts of the last level, the gates behind the last shared stream, and the pools."""
        levels = _levels(self.levels)
        modules: dict[str, nn.Module] = {"pool": self.pool, f"levels.{len(levels) - 1}.private": levels[-1].private}
        first = max(len(levels) - 2, 0)
        return modules | {f"levels.{first + i}.gate": level.gate for i, level in enumerate(levels[first:])}


class Level(nn.Module):
    """One level of extraction.

    :param shared: n_s experts on the shared stream.
    :param private: n_t experts for each of T tasks, on the tasks' streams.
    :param channels: C, what gates read of each stream.
    :param per_token: gates weigh for every token of a text, not for all of it alike.
    """

    def __init__(
        self, *, shared: Stack, private: Stack, tasks: int, channels: int, is_last: bool, per_token: bool
    ) -> None:
        super().__init__()
        self.per_token = per_token
        self.shared = shared
        self.private = private
        self.gate = SoftmaxGate(tasks, shared.count + private.count // tasks, channels)
        self.common_gate = None if is_last else SoftmaxGate(1, shared.count + private.count, channels)

    def forward(self, streams: Features, common: Features) -> tuple[Features, Features, Tensor]:
        """The next streams of the tasks ``(T, N, ...)``, the next shared stream, and the tasks' gates ``(N, T, n)``."""
        tasks = len(streams.values)
        shared = features_of(self.shared(repeated(common, self.shared.count)))
        private = features_of(self.private(repeated_each(streams, self.private.count // tasks)))
        shape = shared.values.shape[1:]
        by_shared, by_private = self._weighed(shared).values, self._weighed(private).values
        weights, _ = self.gate(summaries(self._weighed(streams)), range(tasks))
        mixed = mix_own(weights, by_shared, by_private).transpose(0, 1)
        if self.common_gate is not None:
            share, _ = self.common_gate(summary(first_of(self._weighed(repeated(common, 1)))), [0])
            joint = mix(share, torch.cat([by_shared, by_private]))[:, 0]
            common = Features(joint.view(shape), shared.mask)
        return Features(mixed.reshape(tasks, *shape), private.mask), common, weights

    def _weighed(self, features: Features) -> Features:
        """Stacked features whose second dimension is what gates weigh for: rows, or the tokens of texts."""
        return Features(features.values.flatten(1, 2)) if self.per_token else features


def _stack(copies: Sequence[Stages], blocks: range) -> Stack:
    """These blocks of all copies, one after another."""
    chosen = [nn.Sequential(*(one.blocks[block] for block in blocks)) for one in copies]
    return Stack(chosen, stackable=copies[0].stackable)


def _levels(modules: nn.ModuleList) -> list[Level]:
    return [module for module in modules if isinstance(module, Level)]
