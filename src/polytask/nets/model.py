"""The model: an encoder under a way of sharing, with stacked heads."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec, Ragged, Targets, TaskLosses
from polytask.errors import TaskError, did_you_mean
from polytask.nets.decay import parameter_groups
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.encoders.rates import rates
from polytask.nets.heads import Head, head_groups
from polytask.nets.sharing.sharing import Representation, Sharing
from polytask.nets.state import copied, copy_into
from polytask.nets.units import gathered
from polytask.tasks.task import Target


class Outputs(NamedTuple):
    """What the heads put out for N rows.

    :param groups: one per head: ``(N, G, K)`` of a head group, ``(M, G, K)`` if its tasks are about words, or what a
        task's own head says. :meth:`Model.answers` gives them by task.
    :param representation: what the heads were given, for ``model.penalty`` and ``model.sharing.diagnostics``.
    :param counts: ``(N,)`` words of each text; None where rows are no texts.
    """

    groups: tuple[Any, ...]
    representation: Representation
    counts: Tensor | None = None


class Model(nn.Module):
    """One network for T tasks.

    :param spec: the columns of the inputs.
    :param targets: what the tasks learned about their labels; their order is the order of the losses.
    :param encoder: turns a row into a vector.
    :param sharing: which of it the tasks share.
    :param loss_units: task -> the unit its loss is measured in, usually its reference loss; default 1 for all.
        A task's loss is multiplied by ``task.weight / loss_unit`` in :meth:`loss_sums` and nowhere else.
    :raises polytask.errors.TaskError: no task, a name twice, or a unit that is no positive number.
    """

    scale: Tensor
    """``(T,)``: weight / loss unit of each task."""

    def __init__(
        self,
        spec: InputSpec,
        targets: Sequence[Target],
        encoder: Encoder,
        sharing: Sharing,
        loss_units: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.tasks = tuple(target.task.name for target in targets)
        self.has_lists = any(target.unit != "row" for target in targets)
        _check_names(self.tasks)
        self.sharing = sharing.build(encoder, spec, targets)
        self.pieces = encoder.pooled_pieces
        self.groups: tuple[Head, ...] = tuple(head_groups(targets, self.sharing.width))
        self.heads = nn.ModuleList(self.groups)
        grouped = [name for group in self.groups for name in group.names]
        order = torch.tensor([grouped.index(name) for name in self.tasks])
        self._is_ordered = grouped == list(self.tasks)
        # Neither belongs to the state: both follow from the arguments.
        self.register_buffer("_order", order, persistent=False)
        self.register_buffer("scale", _scale(targets, loss_units), persistent=False)

    def forward(self, inputs: Inputs) -> Outputs:
        """Outputs of all tasks for these rows."""
        representation = self._represent(inputs)
        counts = None if inputs.words is None else inputs.words.counts
        outputs = Outputs(tuple(group(representation, counts) for group in self.heads), representation, counts)
        return _linked(self, outputs) if self.sharing.is_linked else outputs

    def answer(self, inputs: Inputs, tasks: Sequence[str]) -> dict[str, Tensor | Ragged]:
        """Outputs of some tasks, ``(N, K)`` each, without running what only other tasks need.

        :raises polytask.errors.TaskError: the model has no such task.
        """
        groups = [self._group(task) for task in tasks]
        if self.sharing.is_linked:
            joint = self.answers(self(inputs))
            return {task: joint[task] for task in tasks}
        representation = self._represent(inputs, tuple(tasks))
        values, counts = representation.values, None if inputs.words is None else inputs.words.counts
        return {
            task: group.alone(values if representation.is_common else values[:, i], task, counts)
            for i, (task, group) in enumerate(zip(tasks, groups, strict=True))
        }

    def answers(self, outputs: Outputs) -> dict[str, Tensor | Ragged]:
        """Outputs by task: ``(N, K)`` each, as views; of tasks about words and lists, a list per row."""
        by_name: dict[str, Tensor | Ragged] = {}
        for group, values in zip(self.groups, outputs.groups, strict=True):
            by_name |= group.answers(values, outputs.counts)
        return {name: by_name[name] for name in self.tasks}

    def losses(self, outputs: Outputs, targets: Targets, skip: Collection[str] = ()) -> TaskLosses:
        """Mean loss over the labelled rows of every task that has one, in the order of :attr:`tasks`.

        :param skip: tasks to leave out, because their loss is not finite: nothing of them reaches a gradient.
        """
        sums, counts = self.loss_sums(outputs, targets, skip)
        present = counts > 0
        if present.all():
            return TaskLosses(self.tasks, sums / counts, counts)
        index = present.nonzero().squeeze(1)
        names = tuple(self.tasks[i] for i in index.tolist())
        counts = counts.index_select(0, index)
        return TaskLosses(names, sums.index_select(0, index) / counts, counts)

    def loss_sums(self, outputs: Outputs, targets: Targets, skip: Collection[str] = ()) -> tuple[Tensor, Tensor]:
        """Summed losses (weighted, in loss units) and labelled rows of all tasks: ``(T,)`` and ``(T,)``.

        Both are 0 for a task that is absent or skipped. Distributed training adds them up over processes
        before it divides: a mean of means is wrong where processes hold different numbers of labels.
        """
        pairs = [
            group.loss_sums(values, targets, _mask(group.names, skip, outputs.representation.values))
            for group, values in zip(self.groups, outputs.groups, strict=True)
        ]
        sums, counts = pairs[0] if len(pairs) == 1 else (torch.cat(parts) for parts in zip(*pairs, strict=True))
        if not self._is_ordered:
            order = self.get_buffer("_order")
            sums, counts = sums.index_select(0, order), counts.index_select(0, order)
        return sums * self.scale.to(sums.dtype), counts

    def penalty(self, outputs: Outputs, targets: Targets) -> Tensor | None:
        """What the way of sharing adds to the total of a step; None when that is nothing."""
        asked = (
            self.sharing.penalty(outputs.representation, targets),
            self.sharing.answer_penalty(self.answers(outputs)) if self.sharing.judges_answers else None,
        )
        parts = [part for part in asked if part is not None]
        return sum(parts[1:], parts[0]) if parts else None

    def shared_parameters(self) -> list[nn.Parameter]:
        """Parameters that serve several tasks: what gradient balancing is about."""
        heads = self.heads.parameters() if self.sharing.is_linked else ()
        return [*self.sharing.shared_parameters(), *heads]

    def task_parameters(self, task: str) -> list[Tensor]:
        """What serves this task alone; a head is a view into its stack."""
        head = () if self.sharing.is_linked else self._group(task).head(task).values()
        return [*self.sharing.task_parameters(task), *head]

    def parameter_groups(self, weight_decay: float, trunk: float = 1.0) -> list[dict[str, Any]]:
        """Groups for a torch optimizer; see :func:`polytask.nets.decay.parameter_groups`.

        :param trunk: factor on the learning rate of all but the heads, beside those that the encoder asks for.
        """
        own = rates(self)
        scales = {id(p): trunk * own.get(id(p), 1.0) for p in self.sharing.parameters()}
        return parameter_groups(self, weight_decay, scales)

    def task_state(self, tasks: Iterable[str] | None = None) -> dict[str, Tensor]:
        """A copy of the shared weights and of those of these tasks (default: all), fit for safetensors.

        Keys: ``shared.<name>``; ``heads.<task>.weight`` ``(K, D)``; ``heads.<task>.bias`` ``(K,)``; and
        ``tasks.<task>.<name>`` for other private weights that a way of sharing may have.
        """
        return copied(self._named(tasks))

    def load_task_state(self, state: Mapping[str, Tensor], tasks: Iterable[str] | None = None) -> None:
        """Copy weights of :meth:`task_state` into this model.

        :param tasks: load the shared weights and those of these tasks, and allow ``state`` to hold other tasks;
            default: all tasks of the model, and ``state`` must hold exactly those.
        :raises polytask.errors.RunError: a weight is missing, left over, or of another shape; nothing is copied then.
        """
        copy_into(self._named(tasks), state, ignore=() if tasks is None else ("heads.", "tasks."))

    def head_state(self, task: str) -> dict[str, Tensor]:
        """A copy of what serves this task alone, under the keys of :meth:`task_state`."""
        return copied(self._named([task], shared=False))

    def _represent(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What the heads are given: of texts, a vector per row and then one per word."""
        found: Representation = self.sharing(inputs, tasks)
        return found if inputs.words is None else gathered(found, inputs.words, self.pieces)

    def _named(self, tasks: Iterable[str] | None, *, shared: bool = True) -> dict[str, Tensor]:
        """What serves one of these tasks alone, and with ``shared`` what serves all, by key."""
        named = {f"shared.{key}": value for key, value in self.sharing.task_state(None).items()} if shared else {}
        for task in self.tasks if tasks is None else tasks:
            named |= {f"tasks.{task}.{key}": value for key, value in self.sharing.task_state(task).items()}
            named |= {f"heads.{task}.{key}": value for key, value in self._group(task).head(task).items()}
        return named

    def _group(self, task: str) -> Head:
        """The head of a task.

        :raises polytask.errors.TaskError: the model has no such task.
        """
        for group in self.groups:
            if task in group.names:
                return group
        raise TaskError(f"the model has no task {task!r}.", do=did_you_mean(task, self.tasks))


def _linked(model: Model, outputs: Outputs) -> Outputs:
    """Outputs after the way of sharing has linked those of the heads."""
    given = {name: values for name, values in model.answers(outputs).items() if isinstance(values, Tensor)}
    linked = model.sharing.link(given)
    groups = (
        torch.stack([linked[name] for name in group.names], 1) if group.names[0] in linked else values
        for group, values in zip(model.groups, outputs.groups, strict=True)
    )
    return outputs._replace(groups=tuple(groups))


def _check_names(tasks: tuple[str, ...]) -> None:
    """At least one task, none twice."""
    if not tasks:
        raise TaskError("a model needs at least one task.", where="tasks")
    twice = sorted({name for name in tasks if tasks.count(name) > 1})
    if twice:
        raise TaskError(f"two tasks are called {twice[0]!r}.", where="tasks", do="Give each task its own name.")


def _scale(targets: Sequence[Target], loss_units: Mapping[str, float] | None) -> Tensor:
    """``(T,)``: weight / loss unit of each task."""
    scale = []
    for target in targets:
        name = target.task.name
        unit = 1.0 if loss_units is None else loss_units.get(name, math.nan)
        if not (math.isfinite(unit) and unit > 0):
            raise TaskError(f"expected a positive loss unit, found {unit}.", where=f"task {name!r}")
        scale.append(target.task.weight / unit)
    return torch.tensor(scale)


def _mask(names: tuple[str, ...], skip: Collection[str], like: Tensor) -> Tensor | None:
    """``(G,)`` bool: which of these tasks to skip; None when there are none, the usual case."""
    if not skip:
        return None
    return torch.tensor([name in skip for name in names], device=like.device)
