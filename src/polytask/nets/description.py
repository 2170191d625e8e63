"""Who shares what: the weights of a model as a tree, and what a row costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from polytask.batch import Inputs
from polytask.nets.model import Model

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
    """What serves all tasks, and what serves each task alone, with the numbers in each part.

    Tasks whose own parts are alike are one branch.
    """
    whole = model.task_state()
    own = {task: model.head_state(task) for task in model.tasks}
    shared = {key.removeprefix("shared."): value for key, value in whole.items() if key.startswith("shared.")}
    branches = [_tree("shared by all tasks", shared)] if shared else []
    trees = [(task, _tree("", _plain(task, state))) for task, state in own.items()]
    for tree, members in groupby(trees, key=lambda pair: pair[1]):
        names = [task for task, _ in members]
        title = f"{names[0]} alone" if len(names) == 1 else f"each of {_listing(names)}"
        branches.append(Branch(title, tree.numbers, tree.parts, tree.shapes))
    return Branch("model", sum(value.numel() for value in whole.values()), tuple(branches))


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
