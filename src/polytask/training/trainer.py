"""One training from an encoded table to a trained model: what :class:`Learner` and comparisons are built on."""

from __future__ import annotations

import atexit
import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from polytask.balancing.methods.equal import Equal
from polytask.batch import InputSpec
from polytask.data.sampling.sampler import Sampler
from polytask.data.table import Table
from polytask.errors import ConfigError, RunError
from polytask.nets.layout import layout
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING
from polytask.nets.sharing.hard import Hard
from polytask.record.layout import LayoutFacts
from polytask.record.run import EpochRecord
from polytask.tasks.task import Target, labelled
from polytask.training.balance import balance, judge_of
from polytask.training.batching import AnyBatches, batches_of
from polytask.training.checkpoint import load_checkpoint, save_checkpoint
from polytask.training.events import Event, Listener, LossSkipped, RunFinished, RunStopped
from polytask.training.loop import Job, Save, train
from polytask.training.optimizer import build_optimizer
from polytask.training.options import TrainingOptions
from polytask.training.parts import Part
from polytask.training.progress import Progress
from polytask.training.recipe import Recipe
from polytask.training.selection import Selection, first_settled
from polytask.training.starting import saved_state, start_from
from polytask.training.step import Stepper
from polytask.training.tally import Tally
from polytask.training.teachers import teachers_of
from polytask.training.threads import thread_count, threads
from polytask.training.validation import Validator


@dataclass(frozen=True)
class Trained:
    """A finished training.

    :param parts: the kept models, each with the tasks it answers for: one, or several with ``keep="per_task"``.
    :param best_epoch: from 1: best mean gain of the primary tasks; the last epoch if none could be scored.
    :param best_epoch_per_task: only tasks that could be scored.
    :param seconds: of training and validation.
    :param steps: optimizer steps.
    :param reason: why the loop ended.
    :param parameters: trainable numbers of one model.
    :param layout: who shares what in it.
    """

    parts: tuple[Part, ...]
    history: tuple[EpochRecord, ...]
    best_epoch: int
    best_epoch_per_task: dict[str, int]
    seconds: float
    steps: int
    reason: str
    parameters: int
    layout: LayoutFacts

    @property
    def model(self) -> Model:
        """The model, when there is one for all tasks; else the first."""
        return self.parts[0].model


def train_model(
    table: Table,
    spec: InputSpec,
    targets: Sequence[Target],
    recipe: Recipe,
    *,
    train_rows: Tensor | None = None,
    validation: Table | Tensor | None = None,
    seed: int | None = None,
    listeners: Sequence[Listener] = (),
    run: Path | None = None,
    fabric: Fabric | None = None,
    start: Mapping[str, Tensor] | None = None,
    frozen: bool = False,
    stop_here: bool = False,
) -> Trained:
    """Train one model on encoded rows. The same arguments give the same weights, bit for bit on a CPU.

    :param table: encoded rows; it may hold labels of more tasks than ``targets``.
    :param targets: the tasks to train.
    :param train_rows: row numbers of ``table``, ascending; default: all.
    :param validation: row numbers of ``table``, ascending, or a table; None: no selection, the last epoch is kept.
    :param seed: default ``recipe.options.seed``.
    :param listeners: called with every event, in the first process only.
    :param run: folder for checkpoints; if it holds one, training goes on from there.
    :param fabric: default: :func:`launch` of the options.
    :param start: weights to start from where they fit, under the keys of ``Model.task_state``; default: those of the
        model that the recipe names, or fresh ones.
    :param frozen: leave what the tasks share as it is, and learn what belongs to single tasks.
    :param stop_here: train no further than the checkpoint in ``run``, and keep the best of its epochs.
    :raises polytask.errors.TrainingError: a loss was not finite too often in a row.
    """
    options, seed = recipe.options, recipe.options.seed if seed is None else seed
    fabric = fabric or launch(options)
    train_table = table if train_rows is None else table.take(train_rows)
    held_out = table.take(validation) if isinstance(validation, Tensor) else validation
    with ExitStack() as inside:
        inside.enter_context(_own_randomness(seed, fabric))
        units = loss_units(train_table, targets, normalise=options.normalise_losses)
        model = Model(spec, targets, recipe.encoder, recipe.sharing, units)
        if recipe.init_from or start is not None:
            start_from(model, saved_state(recipe.init_from, targets) if start is None else start, where="init_from")
        for parameter in model.shared_parameters() if frozen else ():
            parameter.requires_grad_(False)
        alone = partial(_alone, table=train_table, spec=spec, recipe=recipe, validation=held_out, seed=seed)
        teachers = teachers_of(recipe.distillation, targets, spec, partial(alone, fabric=fabric))
        inside.enter_context(threads(options.threads or thread_count(model, options.batch_size)))
        fabric.to_device(model)
        if teachers is not None:
            fabric.to_device(teachers)
        optimizer = build_optimizer(model, options, fabric.device)
        balancer, train_table = balance(recipe, model, optimizer, train_table, targets, seed=seed, fabric=fabric)
        batches = _batches(train_table, recipe.sampler, options, seed, fabric)
        total = math.ceil(batches.steps / options.accumulate) * options.epochs
        stepper = Stepper(
            fabric,
            model,
            optimizer,
            balancer,
            task_weights=[target.task.weight for target in targets],
            tally=Tally(model.tasks, fabric.device),
            options=options,
            total=min(total, options.max_steps or total),
            teachers=teachers,
        )
        own = layout(model, table.batch(torch.arange(1)).inputs.to(fabric.device), SHARING.name_of(recipe.sharing))
        torch.manual_seed(seed + fabric.global_rank)  # dropout differs between ranks, initial weights do not
        progress = _begin(run, stepper, targets, seed, recipe.sharing.settled)
        if stop_here and not progress.epoch:
            raise RunError("no epoch of it is complete.", where=str(run), do="Begin it again in a new folder.")
        validator = Validator(held_out, targets, units, options.select_by)
        judge = judge_of(recipe.balancer, model, fabric, train_table, targets, seed=seed)
        save = _saver(run, stepper, progress)
        job = Job(fabric, stepper, batches, validator, options, seed, progress, save, judge, stop_here, own)
        finished = _listen(train(job), listeners if fabric.is_global_zero else ())
        return _trained(model, targets, recipe, progress, finished, own_layout=own)


def _alone(target: Target, table: Table, spec: InputSpec, recipe: Recipe, **options: Any) -> Model:
    """A model of one task, trained on the rows that carry its label."""
    rows = labelled(table.labels(target.task.name)).nonzero()[:, 0]
    single = replace(recipe, sharing=Hard(), balancer=Equal(), distillation=None)
    return train_model(table.take(rows), spec, [target], single, **options).model


def launch(options: TrainingOptions) -> Fabric:
    """Fabric for these options, launched."""
    fabric = Fabric(
        accelerator=options.accelerator,
        devices=options.devices,
        strategy=options.strategy,
        precision=options.precision,
    )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave_group)
    return fabric


def _leave_group() -> None:
    """Without this, a process that exits while gloo's threads run may abort."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def loss_units(table: Table, targets: Sequence[Target], *, normalise: bool = True) -> dict[str, float]:
    """Task -> the unit of its loss: the size of the best constant predictor's loss on these rows.

    1 where that is 0 or unknown, and for all tasks without ``normalise``.
    """
    if not normalise:
        return {target.task.name: 1.0 for target in targets}
    sizes = {t.task.name: abs(t.reference_loss(table.labels(t.task.name, draw=0))) for t in targets}
    return {name: size if math.isfinite(size) and size > 1e-8 else 1.0 for name, size in sizes.items()}


def _batches(table: Table, sampler: Sampler, options: TrainingOptions, seed: int, fabric: Fabric) -> AnyBatches:
    world = fabric.world_size
    for name in ("batch_size", "batch_tokens"):
        if (getattr(options, name) or 0) % world:
            raise ConfigError(
                f"expected a multiple of the {world} processes, found {getattr(options, name)}.",
                where=f"training.{name}",
                do=f"{name} counts what all devices get together.",
            )
    return batches_of(table, sampler, options, seed, rank=fabric.global_rank, world=world)


def _begin(run: Path | None, stepper: Stepper, targets: Sequence[Target], seed: int, settled: float) -> Progress:
    """The progress of the checkpoint in the run folder, or of a new run."""
    fabric, options = stepper.fabric, stepper.options
    found = load_checkpoint(run, stepper) if run is not None else None
    fabric.barrier()  # nobody writes the next checkpoint before all have read this one
    if found is not None:
        if fabric.global_rank:  # the checkpoint holds the generators of the first rank
            torch.manual_seed(seed + fabric.global_rank + (found.step << 16))
        return found
    primary = tuple(t.task.name for t in targets if t.task.role == "primary")
    names, first = primary or tuple(t.task.name for t in targets), first_settled(settled, options.epochs)
    return Progress(Selection(names, options.keep == "per_task", first))


def _saver(run: Path | None, stepper: Stepper, progress: Progress) -> Save | None:
    if run is None or not stepper.fabric.is_global_zero:
        return None
    return lambda: save_checkpoint(run, stepper, progress)


def _listen(events: Iterator[Event], listeners: Sequence[Listener]) -> RunFinished:
    warned: set[str | None] = set()
    finished: RunFinished | None = None
    try:
        for event in events:
            for listener in listeners:
                listener(event)
            if isinstance(event, LossSkipped) and event.task not in warned:
                warned.add(event.task)
                warnings.warn(_skip_message(event), stacklevel=3)
            if isinstance(event, RunFinished):
                finished = event
    except BaseException as error:  # an interrupt too: a listener may hold the terminal
        for listener in listeners:
            listener(RunStopped(str(error) or type(error).__name__))
        raise
    if finished is None:
        raise RuntimeError("the loop ended without saying so")
    return finished


def _skip_message(event: LossSkipped) -> str:
    what = f"the loss of task {event.task!r}" if event.task else "the gradient"
    left_out = "this task is left out of such steps" if event.task else "such steps change nothing"
    return f"{what} is not finite at epoch {event.epoch}, step {event.step}; {left_out}, which are counted."


def _trained(
    model: Model,
    targets: Sequence[Target],
    recipe: Recipe,
    progress: Progress,
    finished: RunFinished,
    *,
    own_layout: LayoutFacts,
) -> Trained:
    model.to("cpu").eval()
    kept = progress.selection.kept(model.tasks)
    by_name = {target.task.name: target for target in targets}
    parts = []
    for epoch, tasks in sorted(kept.items()):
        own = model if len(kept) == 1 else copy.deepcopy(model)
        own.load_state_dict(progress.kept[epoch])
        name = "model" if len(kept) == 1 else f"epoch-{epoch}"
        parts.append(Part(name, tuple(by_name[t] for t in tasks), recipe.encoder, recipe.sharing, own))
    return Trained(
        tuple(parts),
        tuple(progress.history),
        finished.best_epoch,
        dict(finished.best_epoch_per_task),
        finished.seconds,
        finished.steps,
        finished.reason,
        sum(p.numel() for p in model.parameters()),
        own_layout,
    )


@contextmanager
def _own_randomness(seed: int, fabric: Fabric) -> Iterator[None]:
    """Initial weights and dropout draw from PyTorch's own generators: seed them here, and put them back after."""
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
