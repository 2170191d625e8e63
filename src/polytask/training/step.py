"""One optimizer step: forward, losses in their units, balancing, backward, update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from polytask.balancing.balancer import Balancer
from polytask.balancing.engine.engine import Ranks
from polytask.balancing.quiet import quiet
from polytask.batch import Batch, TaskLosses
from polytask.errors import ConfigError
from polytask.nets.model import Model, Outputs
from polytask.tasks.task import labelled
from polytask.training.bilevel.steps import BilevelSteps
from polytask.training.distillation import Teachers
from polytask.training.options import TrainingOptions, lr_factor
from polytask.training.ranks import average_buffers, average_gradients, sum_over_ranks, with_value
from polytask.training.tally import GradientTally, Tally


@dataclass(frozen=True)
class StepResult:
    """What one optimizer step did.

    :param losses: of the tasks that took part, in the units that the balancer saw; None if nothing was updated.
    :param weights: ``(T,)``: what the balancer gave them.
    :param bad: tasks that were left out because their loss was not finite.
    """

    losses: TaskLosses | None
    weights: Tensor
    bad: tuple[str, ...] = ()
    is_empty: bool = False
    """No row carries a label: there was nothing to learn."""


NOTHING = torch.empty(0)


class Stepper:
    """Takes optimizer steps.

    :param fabric: launched; it knows devices, precision and ranks.
    :param model: on its device, with the loss units it was built with.
    :param task_weights: task -> ``task.weight``. The balancer sees losses without it; their gradients carry it, so no
        balancer can undo it.
    :param tally: where losses and weights are summed over the epoch.
    :param total: optimizer steps of the whole run, for the learning-rate schedule and the annealing of teachers.
    :param teachers: whom the model imitates beside its labels.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: Model,
        optimizer: Optimizer,
        balancer: Balancer | BilevelSteps,
        *,
        task_weights: Sequence[float],
        tally: Tally,
        options: TrainingOptions,
        total: int,
        teachers: Teachers | None = None,
    ) -> None:
        self.fabric = fabric
        self.model = model
        self.optimizer = optimizer
        self.balancer = balancer
        self.tally = tally
        self.gradients = GradientTally(tally.tasks, fabric.device)
        self.options = options
        self.total = total
        self.teachers = teachers
        self._taught = 0.0
        wrapped = fabric.setup_optimizers(optimizer)
        self._steps = wrapped[0] if isinstance(wrapped, tuple) else wrapped
        self._weights = torch.tensor(list(task_weights), device=fabric.device)
        self._is_weighted = any(weight != 1.0 for weight in task_weights)
        self._is_scheduled = options.schedule != "constant" or options.warmup > 0
        self._moves = fabric.device.type != "cpu"
        precision = fabric.strategy.precision
        self._has_scaler = isinstance(precision, MixedPrecision) and precision.scaler is not None
        self._shared = model.shared_parameters()
        world = fabric.world_size
        self._ranks = Ranks(world, lambda tensor: sum_over_ranks(fabric, tensor) / world) if world > 1 else None
        self.kpi: Mapping[str, float] = {}
        self._looks_again = isinstance(balancer, Balancer) and (balancer.rows is not None or balancer.pairs_batches)
        self._parameters = [p for p in model.parameters() if p.requires_grad]

    def __call__(self, batches: Sequence[Batch], step: int) -> StepResult:
        """One update from one batch, or from several when gradients are accumulated.

        :param step: optimizer steps before this one.
        """
        result = self._step(batches, step)
        if self.fabric.world_size > 1:
            average_buffers(self.fabric, self.model)
        return result

    @property
    def lr(self) -> float:
        """The learning rate now, at its highest over the parameters."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of all parameters."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)

    def _step(self, batches: Sequence[Batch], step: int) -> StepResult:
        if self._is_scheduled:
            self.set_lr(self.options.lr * lr_factor(step, self.total, self.options))
        if self.teachers is not None:
            self._taught = self.teachers.how.share(step, self.total)
        own = [batch.to(self.fabric.device) for batch in batches] if self._moves else batches
        totals = self._labelled_rows(own) if len(own) > 1 else None
        done = [self._backward(batch, totals, 1 / len(own)) for batch in own]
        bad = tuple(dict.fromkeys(name for result in done for name in result.bad))
        taken = [result for result in done if result.losses is not None]
        if not taken or not self._update():
            self.optimizer.zero_grad()
            return StepResult(None, NOTHING, bad, is_empty=all(result.is_empty for result in done))
        if self.balancer.method.looks_back and done[-1].losses is not None:
            self._look_back(own[-1], done[-1])
        for result in taken:
            if result.losses is not None:
                self.tally.add(result.losses, result.weights)
        last = taken[-1] if len(taken) == 1 else self._joined(taken)
        return StepResult(last.losses, last.weights, bad)

    def _backward(self, batch: Batch, totals: Tensor | None, share: float) -> StepResult:
        """Gradients of one batch; ``share`` of the step is its part of the penalty."""
        with self.fabric.autocast():
            outputs = self.model(batch.inputs)
        losses, bad = self._losses(outputs, batch, totals, ())
        if bad:  # the graph of the outputs is still there: only heads and losses are computed again
            losses, worse = self._losses(outputs, batch, totals, bad)
            if worse:
                return StepResult(None, NOTHING, bad)
        if not losses.names:
            return StepResult(None, NOTHING, bad, is_empty=not bad)
        penalty = self.model.penalty(outputs, batch.targets)
        if penalty is not None:  # it belongs to the way of sharing, not to a task: nobody balances it
            self.fabric.backward(penalty * share, retain_graph=True)
        if isinstance(self.balancer, BilevelSteps):
            record = self.balancer.backward(losses, batch, self.fabric.backward)
        else:
            record = self.balancer.backward(
                losses,
                self._shared,
                features=self._features(outputs),
                backward=self.fabric.backward,
                kpi=self.kpi or None,
                forward=lambda rows: self._again(batch.take(rows), losses, totals, bad),
                labelled=self._mask(batch) if self._looks_again else None,
                ranks=self._ranks,
            )
        if record.gramian is not None:
            self.gradients.add(record, self.tally.index(losses.names))
        return StepResult(TaskLosses(losses.names, record.loss_values, losses.counts), record.weight_values, bad)

    def _mask(self, batch: Batch) -> Tensor:
        """``(N, T)`` bool: which rows carry a label of which task."""
        return torch.stack([_carriers(batch, task) for task in self.model.tasks], 1)

    def _again(
        self, part: Batch, whole: TaskLosses, totals: Tensor | None, skip: tuple[str, ...]
    ) -> tuple[TaskLosses, tuple[Tensor, ...]]:
        """Losses (as long as those of the whole batch), and features where they count, of some of its rows."""
        with quiet(self.model), self.fabric.autocast():
            outputs = self.model(part.inputs)
        losses, _ = self._losses(outputs, part, None, skip)
        if totals is not None and losses.names == whole.names:  # accumulated: the batch has its share of the step
            share = whole.counts / totals.index_select(0, self.tally.index(whole.names))
            losses = TaskLosses(losses.names, losses.values * share, losses.counts)
        features = self._features(outputs)
        return losses, () if features is None else (features,)

    def _features(self, outputs: Outputs) -> Tensor | None:
        """The tensor that all heads read, where the balancer compares tasks there."""
        if isinstance(self.balancer, BilevelSteps) or self.balancer.on != "features":
            return None
        if not outputs.representation.is_common:
            raise ConfigError(
                "this way of sharing gives every head features of its own.",
                where="training.balance_on",
                do="Set balance_on: parameters.",
            )
        return outputs.representation.values

    def _look_back(self, batch: Batch, result: StepResult) -> None:
        """Tell the balancer the losses of the same batch and tasks after the update."""
        with torch.no_grad(), self.fabric.autocast():
            outputs = self.model(batch.inputs)
        losses, bad = self._losses(outputs, batch, None, result.bad)
        if not bad and isinstance(self.balancer, Balancer):
            self.balancer.look_back(TaskLosses(losses.names, losses.values.detach(), losses.counts))

    def _losses(
        self, outputs: Outputs, batch: Batch, totals: Tensor | None, skip: tuple[str, ...]
    ) -> tuple[TaskLosses, tuple[str, ...]]:
        """The losses of the present tasks as the balancer sees them, and which of them are not finite.

        Value: the mean over the labelled rows of this batch, on all ranks. Gradient: that of
        ``weight * sum over own rows / labelled rows of the whole step``, times the number of ranks.
        """
        sums, counts = self.model.loss_sums(outputs, batch.targets, skip)
        if self.teachers is not None:
            sums = self.teachers.mixed(sums, self.model, outputs, batch, self._taught)
        world = self.fabric.world_size
        joint, rows = sums, counts
        if world > 1:
            joint, rows = sum_over_ranks(self.fabric, torch.stack([sums.detach(), counts.to(sums.dtype)])).unbind()
        names = self.model.tasks
        here, finite = torch.stack([rows > 0, joint.detach().isfinite()]).tolist()  # the one wait for the device
        bad = () if all(finite) else tuple(name for name, good in zip(names, finite, strict=True) if not good)
        weights = self._weights
        if not all(here):  # cut before dividing: 0/0 of an absent task would reach the gradients as NaN
            names = tuple(name for name, present in zip(names, here, strict=True) if present)
            index = self.tally.index(names)
            sums, joint, rows, weights = (x.index_select(0, index) for x in (sums, joint, rows, weights))
            totals = None if totals is None else totals.index_select(0, index)
        values = joint / rows
        if self._is_weighted or totals is not None or world > 1:
            values = with_value(sums * (world / (rows if totals is None else totals)), values / weights)
        return TaskLosses(names, values, rows), bad

    def _labelled_rows(self, batches: Sequence[Batch]) -> Tensor:
        """``(T,)``: labelled rows of each task in all batches of this step, on all ranks; at least 1."""
        tasks = self.model.tasks
        here = torch.stack([sum((labelled(b.targets[t]).sum() for b in batches), torch.tensor(0)) for t in tasks])
        return sum_over_ranks(self.fabric, here.to(self.fabric.device, torch.float32)).clamp(min=1)

    def _update(self) -> bool:
        """Apply the gradients; False if they are not finite, and then nothing has changed."""
        if self.fabric.world_size > 1:
            average_gradients(self.fabric, self.model)
        self.fabric.strategy.precision.unscale_gradients(self.optimizer)
        parameters = [p for p in self._parameters if p.grad is not None]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        good = math.isfinite(float(norm))
        if good and self.options.clip_norm is not None:
            clip_grads_with_norm_(parameters, self.options.clip_norm, norm)
        if good or self._has_scaler:  # the scaler skips by itself, and must be told to lower its scale
            self._steps.step()
            self.optimizer.zero_grad()
        return good

    def _joined(self, parts: Sequence[StepResult]) -> StepResult:
        """Accumulated batches as one: mean losses by labelled row, mean weights by batch."""
        whole = Tally(self.model.tasks, self.fabric.device)
        for part in parts:
            if part.losses is not None:
                whole.add(part.losses, part.weights)
        present = whole.sums[1] > 0
        names = tuple(name for name, here in zip(whole.tasks, present.tolist(), strict=True) if here)
        sums = whole.sums[:, present].float()
        return StepResult(TaskLosses(names, sums[0] / sums[1], sums[1]), sums[2] / sums[3])


def _carriers(batch: Batch, task: str) -> Tensor:
    """``(N,)`` bool: rows that carry a label of a task, be it of one of their words."""
    targets, words = batch.targets, batch.inputs.words
    if task in targets.lists:
        return labelled(targets.lists[task])
    known = labelled(targets[task])
    if words is None or task not in targets.word_layout:
        return known
    return torch.zeros(len(batch), device=known.device).index_add(0, words.row, known.float()) > 0
