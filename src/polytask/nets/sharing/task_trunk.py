"""One encoder, run for every task as one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor, nn
from torch.func import functional_call

from polytask.batch import Features
from polytask.nets.encoders.encoder import Stages
from polytask.nets.sharing.experts import features_of, tensor_of
from polytask.nets.stacked import Stack, as_stack

Change: TypeAlias = Callable[[int, Tensor, Sequence[int]], Tensor]
"""``change(place, matrix, positions)``: the matrices ``(G, O, I)`` of tasks from the matrix of all, ``(1, O, I)``."""


class TaskTrunk(nn.Module):
    """Blocks and pool of one encoder as stacks of one, to be run for several tasks side by side.

    Running T tasks as T * N rows of one batch would be simpler, but batch norms would mix the tasks: a task's
    statistics are of its own features, in training and after it.

    :param tasks: T. Running statistics are kept by task.
    """

    def __init__(self, stages: Stages, tasks: int) -> None:
        super().__init__()
        self.tasks = tasks
        self.blocks = len(stages.blocks)
        self.parts = nn.ModuleList(Stack([p], stackable=stages.stackable) for p in (*stages.blocks, stages.pool))
        self.statistics = nn.ModuleList(Statistics(part, tasks) for part in self.parts)
        self.places = [
            (i, name)
            for i, part in enumerate(self.parts)
            for name, weight in part.named_parameters()
            if name.rpartition(".")[2].startswith("weight") and weight.ndim > 2
        ]

    def matrices(self) -> list[tuple[int, int]]:
        """The shapes ``(O, I)`` of the matrices, in the order of places; a convolution has I * H * W columns."""
        flat = [dict(self.parts[i].named_parameters())[name].flatten(2) for i, name in self.places]
        return [(weight.shape[1], weight.shape[2]) for weight in flat]

    def state(self) -> dict[str, Tensor]:
        """Weights and buffers under the names that they have in the stages of hard sharing, sharing memory with them.

        So the weights of a trunk that was trained by itself fit here.
        """
        names = [*(f"blocks.{i}" for i in range(self.blocks)), "pool"]
        return {
            f"{name}.{key.removeprefix('copies.').removeprefix('base.')}": value
            for name, part in zip(names, self.parts, strict=True)
            for key, value in as_stack(part).copy_state(0).items()
        }

    def step(self, block: int, features: Features, positions: Sequence[int], change: Change | None = None) -> Features:
        """One block for tasks at G positions: ``(G, N, ...) -> (G, N, ...)``."""
        return features_of(self._run(block, features, positions, change))

    def end(self, features: Features, positions: Sequence[int], change: Change | None = None) -> Tensor:
        """The pool: ``(G, N, ...) -> (G, N, D)``."""
        return tensor_of(self._run(self.blocks, features, positions, change))

    def _run(self, part: int, given: Features, positions: Sequence[int], change: Change | None) -> Features | Tensor:
        """One part under the weights and statistics of tasks."""
        index = list(positions)
        module = self.parts[part]
        bases = dict(module.named_parameters())
        weights = {name: base.expand(len(index), *base.shape[1:]) for name, base in bases.items()}
        if change is not None:
            for place, (where, name) in enumerate(self.places):
                if where == part:
                    varied = change(place, bases[name].flatten(2), index)
                    weights[name] = varied.view(len(index), *bases[name].shape[1:])
        statistics = self.statistics[part].buffers()
        for (name, _), kept in zip(module.named_buffers(), statistics, strict=True):
            weights[name] = kept if len(index) == self.tasks else kept[index]  # all tasks: updated in place
        found: Features | Tensor = functional_call(module, weights, (given,))
        return found


class Statistics(nn.Module):
    """The buffers of a stack of one, repeated for T tasks: running statistics of batch norms."""

    def __init__(self, part: nn.Module, tasks: int) -> None:
        super().__init__()
        for i, buffer in enumerate(part.buffers()):
            self.register_buffer(f"values_{i}", buffer.expand(tasks, *buffer.shape[1:]).clone())


def common_parts(stem: nn.Module, trunk: TaskTrunk) -> Mapping[str, nn.Module]:
    """What serves all tasks: the stem and the trunk."""
    return {"stem": stem, "parts": trunk.parts}


def common_state(stem: nn.Module, trunk: TaskTrunk) -> dict[str, Tensor]:
    """Weights and buffers of stem and trunk, named as those of hard sharing."""
    return {f"stem.{key}": value for key, value in stem.state_dict().items()} | trunk.state()
