"""Who owns what, read off the modules of a way of sharing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from polytask.nets.sharing.sharing import Shared


class PartedShared(Shared):
    """A way of sharing that is made of whole modules for all tasks and of stacks with one slice per task.

    Subclasses name their modules; sides and weights by name follow from that.
    """

    @abstractmethod
    def common(self) -> Mapping[str, nn.Module]:
        """Modules that serve all tasks, by name."""

    def own(self) -> Mapping[str, nn.Module]:
        """Modules whose every parameter and buffer stacks T equal slices, one for each task alone."""
        return {}

    def reached(self) -> Mapping[str, nn.Module]:
        """Modules stacked like :meth:`own` whose slices the losses of other tasks reach too: they count as shared."""
        return {}

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of :meth:`common` and :meth:`reached`."""
        for module in (*self.common().values(), *self.reached().values()):
            yield from module.parameters()

    def task_parameters(self, task: str) -> Iterator[Tensor]:
        """The task's slices of :meth:`own`."""
        for module in self.own().values():
            yield from (self._slice(parameter, task) for parameter in module.parameters())

    def task_state(self, task: str | None) -> dict[str, Tensor]:
        """Weights and buffers by name; slices of :meth:`reached` carry the name of their task."""
        if task is not None:
            return {key: self._slice(value, task) for key, value in named_state(self.own()).items()}
        reached = named_state(self.reached()).items()
        return self.common_state() | {
            f"of.{name}.{key}": self._slice(value, name) for name in self.tasks for key, value in reached
        }

    def common_state(self) -> dict[str, Tensor]:
        """Weights and buffers of :meth:`common` by name."""
        return named_state(self.common())

    def positions(self, tasks: Sequence[str] | None) -> list[int]:
        """Places of tasks among all tasks; default: all places."""
        return list(range(len(self.tasks))) if tasks is None else [self.tasks.index(task) for task in tasks]

    def _slice(self, stacked: Tensor, task: str) -> Tensor:
        per_task = len(stacked) // len(self.tasks)
        first = self.tasks.index(task) * per_task
        return stacked[first : first + per_task]


def named_state(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Weights and buffers of modules, each under the name of its module."""
    return {f"{name}.{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
