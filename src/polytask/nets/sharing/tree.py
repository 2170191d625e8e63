"""A tree of blocks: what learning to branch ends in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs
from polytask.nets.encoders.encoder import Stages
from polytask.nets.sharing.sharing import Representation, Shared

Path: TypeAlias = tuple[tuple[int, int], ...]
"""(block, branch) from the first block to the last."""


class TreeShared(Shared):
    """Blocks along the paths of the tasks; each runs once, for all tasks whose path leads through it.

    :param branches: encoders; ``branches[b].blocks[i]`` is the node (i, b). All use the stem of the first.
    :param paths: for every task the nodes that it runs through. Where two paths meet they are one from the stem on.
    """

    def __init__(self, tasks: tuple[str, ...], branches: Sequence[Stages], paths: Sequence[Path]) -> None:
        super().__init__(tasks, branches[0].width)
        self.paths = tuple(paths)
        self.stem = branches[0].stem
        nodes = sorted({node for path in paths for node in path})
        self.nodes = nn.ModuleDict({_name(node): branches[node[1]].blocks[node[0]] for node in nodes})
        ends = sorted({path[-1] for path in paths})
        self.pools = nn.ModuleDict({_name(end): branches[end[1]].pool for end in ends})

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What stands at the end of each task's path: ``(N, T, D)``."""
        stem: Features = self.stem(inputs)
        after: dict[tuple[int, int], Features] = {}
        ends: dict[tuple[int, int], Tensor] = {}
        for task in self.tasks if tasks is None else tasks:
            features = stem
            path = self.paths[self.tasks.index(task)]
            for node in path:
                if node not in after:
                    after[node] = self.nodes[_name(node)](features)
                features = after[node]
            if path[-1] not in ends:
                ends[path[-1]] = self.pools[_name(path[-1])](features)
        wanted = [self.paths[self.tasks.index(task)][-1] for task in tasks or self.tasks]
        return Representation(torch.stack([ends[end] for end in wanted], 1))

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The stem, and nodes on several paths."""
        return (parameter for module in self._parts(None).values() for parameter in module.parameters())

    def task_parameters(self, task: str) -> Iterator[Tensor]:
        """Nodes on the task's path alone."""
        return (parameter for module in self._parts(task).values() for parameter in module.parameters())

    def task_state(self, task: str | None) -> dict[str, Tensor]:
        """Weights of the same nodes."""
        parts = self._parts(task)
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}

    def _parts(self, task: str | None) -> dict[str, nn.Module]:
        """Modules of one task, or of several (None)."""
        parts: dict[str, nn.Module] = {"stem": self.stem} if task is None else {}
        for kind, modules in (("nodes", self.nodes), ("pools", self.pools)):
            for name, module in modules.items():
                users = [t for t, path in zip(self.tasks, self.paths, strict=True) if name in map(_name, path)]
                if (users[0] if len(users) == 1 else None) == task:
                    parts[f"{kind}.{name}"] = module
        return parts


def _name(node: tuple[int, int]) -> str:
    return f"block_{node[0]}_branch_{node[1]}"
