"""Who shares what: the weights of a model as a tree, and what a row costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from polytask.batch import Inputs
from polytask.nets.model import Model

State: TypeAlias = dict[str, Tensor]

DEPTH = 2
"""Levels below "shared" or a task that the tree shows."""


@dataclass(frozen=True)
class Branch:
    """A part of a model.

    :param name: what it is called where it hangs. :param numbers: weights and buffers in it, together with its parts.
    :param shapes: of its own tensors, when it has no parts.
    """

    name: str
    numbers: int
    parts: tuple[Branch, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = field(default=())

    def lines(self, indent: str = "") -> Iterator[str]:
        """The branch and its parts, a line each."""
        for i, part in enumerate(self.parts):
            last = i == len(self.parts) - 1
            shapes = "  " + ", ".join("×".join(map(str, shape)) or "1" for shape in part.shapes) if part.shapes else ""
            yield f"{indent}{'└─ ' if last else '├─ '}{part.name}  {part.numbers:,}{shapes}"
            yield from part.lines(indent + ("   " if last else "│  "))


def describe(model: Model) -> Branch:
    """What serves all tasks, what is a task's part but is read by others too, and what serves each task alone.

    Tasks whose parts are alike are one branch.
    """
    common, reached, own = owners(model)
    branches = [_tree("shared by all tasks", common)] if common else []
    branches += _merged(reached, ", read by others too", ", read by others too")
    branches += _merged(own, " alone", "")
    numbers = sum(value.numel() for value in model.task_state().values())
    return Branch("model", numbers, tuple(branches))


def owners(model: Model) -> tuple[State, dict[str, State], dict[str, State]]:
    """Weights and buffers of all tasks as one; by task those that others read too; by task those of it alone."""
    whole = model.task_state()
    shared = {key.removeprefix("shared."): value for key, value in whole.items() if key.startswith("shared.")}
    own = {task: _plain(task, model.head_state(task)) for task in model.tasks}
    if model.sharing.is_linked:  # answers are made of those of several heads
        heads = {f"of.{task}.{key}": value for task, state in own.items() for key, value in state.items()}
        shared, own = shared | heads, {}
    common, reached = _parted(shared, model.tasks)
    return common, reached, own


def _parted(shared: dict[str, Tensor], tasks: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """What serves all tasks as one, and by task what is one task's part but is reached by the losses of others."""
    reached: dict[str, dict[str, Tensor]] = {}
    for task in tasks:
        found = {key: value for key, value in shared.items() if key.startswith(f"of.{task}.")}
        if found:
            reached[task] = {key.removeprefix(f"of.{task}."): value for key, value in found.items()}
            shared = {key: value for key, value in shared.items() if key not in found}
    return shared, reached


def _merged(states: dict[str, dict[str, Tensor]], of_one: str, of_many: str) -> list[Branch]:
    """A branch for all tasks whose parts are alike, and what is said behind its name."""
    alike: dict[Branch, list[str]] = {}
    for task, state in states.items():
        alike.setdefault(_tree("", state), []).append(task)
    return [
        Branch(
            names[0] + of_one if len(names) == 1 else f"each of {_listing(names)}{of_many}",
            tree.numbers,
            tree.parts,
            tree.shapes,
        )
        for tree, names in alike.items()
    ]


def flops(model: Model, inputs: Inputs) -> int:
    """Floating-point operations of a forward pass, counted by PyTorch (matrix products, convolutions, attention)."""
    was_training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(inputs)
    model.train(was_training)
    return int(counter.get_total_flops())


def _plain(task: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``heads.<task>.weight -> head.weight``, ``tasks.<task>.x -> x``."""
    heads, tasks = f"heads.{task}.", f"tasks.{task}."
    return {
        f"head.{key.removeprefix(heads)}" if key.startswith(heads) else key.removeprefix(tasks): value
        for key, value in state.items()
    }


def _tree(name: str, state: dict[str, Tensor], depth: int = DEPTH) -> Branch:
    numbers = sum(value.numel() for value in state.values())
    below: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        below.setdefault(first, {})[rest] = value
    if depth == 0 or all("." not in key for key in state):
        shapes = tuple(tuple(value.shape) for value in state.values()) if len(state) <= 3 else ()
        return Branch(name, numbers, (), shapes)
    return Branch(name, numbers, tuple(_tree(first, rest, depth - 1) for first, rest in below.items()))


def _listing(names: list[str], most: int = 4) -> str:
    shown = ", ".join(names[:most]) + (", ..." if len(names) > most else "")
    return f"{len(names)} tasks ({shown})"
