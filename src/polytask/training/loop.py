"""The loop: steps, epochs, when to stop. It says what happens by yielding events; listeners do the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from lightning_fabric import Fabric

from polytask.batch import Batch
from polytask.errors import TrainingError, plural
from polytask.record.layout import LayoutFacts
from polytask.record.run import EpochRecord
from polytask.training.batching import AnyBatches
from polytask.training.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    LossSkipped,
    RunFinished,
    RunStarted,
    StepDone,
)
from polytask.training.options import TrainingOptions
from polytask.training.progress import Progress
from polytask.training.step import Stepper, StepResult
from polytask.training.tree import snapshot
from polytask.training.validation import Validator

Save = Callable[[], Path]
Judge = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Job:
    """All parts of one training.

    :param batches: a pure function of (seed, epoch, step).
    :param progress: changes while the loop runs; a resumed run brings its own.
    :param save: writes a checkpoint; None when there is no run folder.
    :param judge: says how well each task is solved on training rows, after an epoch; None if the balancer does not ask.
    :param stop_here: train no further; the best epoch so far is kept.
    :param layout: who shares what, for the record.
    """

    fabric: Fabric
    stepper: Stepper
    batches: AnyBatches
    validator: Validator
    options: TrainingOptions
    seed: int
    progress: Progress
    save: Save | None = None
    judge: Judge | None = None
    stop_here: bool = False
    layout: LayoutFacts | None = None


def train(job: Job) -> Iterator[Event]:
    """Train, yielding an event for everything that happens.

    :raises TrainingError: a loss was not finite too often in a row; the last checkpoint is intact.
    """
    progress, options, model = job.progress, job.options, job.stepper.model
    begin = time.perf_counter() - progress.seconds
    job.stepper.kpi = progress.kpi
    yield RunStarted(
        model.tasks,
        options.epochs,
        job.stepper.total,
        sum(p.numel() for p in model.parameters()),
        str(job.fabric.device),
        job.seed,
        progress.epoch,
        progress.step,
        job.layout,
    )
    while (reason := _why_stop(job)) is None:
        yield from _steps(job)
        progress.seconds = time.perf_counter() - begin
        yield _end_epoch(job)
        if job.save is not None and (progress.epoch % options.checkpoint_every == 0 or _why_stop(job)):
            yield CheckpointSaved(job.save(), progress.epoch, progress.step)
    selection = progress.selection
    epoch = selection.epoch or selection.last
    yield RunFinished(reason, progress.epoch, progress.step, progress.seconds, epoch, dict(selection.epochs))


def _steps(job: Job) -> Iterator[Event]:
    """The rest of the running epoch."""
    progress, options = job.progress, job.options
    job.stepper.model.train()
    job.stepper.model.sharing.advance(progress.epoch / options.epochs)
    batches = job.batches.epoch(progress.epoch, start=progress.position)
    for group in _groups(batches, options.accumulate):
        result = job.stepper(group, progress.step)
        progress.position += len(group)
        progress.step += result.losses is not None
        if result.bad or result.losses is None or progress.streaks:
            yield from _skips(job, result)
        if result.losses is not None:
            yield StepDone(progress.epoch + 1, progress.step, result.losses, result.weights)
        if options.max_steps is not None and progress.step >= options.max_steps:
            return
        every = options.checkpoint_steps
        if job.save is not None and every is not None and progress.step % every == 0 and result.losses is not None:
            yield CheckpointSaved(job.save(), progress.epoch, progress.step)


def _groups(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    if size == 1:
        yield from ([batch] for batch in batches)
        return
    while group := list(islice(batches, size)):
        yield group


def _skips(job: Job, result: StepResult) -> Iterator[Event]:
    """Count what was left out, say so, and stop when it goes on for too long."""
    progress = job.progress
    if not result.bad and result.is_empty:  # a batch without any label teaches nothing and proves nothing
        return
    updated = result.losses is not None
    progress.count_streaks(result.bad, result.losses.names if result.losses is not None else (), updated)
    for name in (*result.bad, *(() if updated else ("",))):
        yield LossSkipped(progress.epoch + 1, progress.step, name or None, progress.streaks[name])
    worst = max(progress.streaks, key=lambda name: (progress.streaks[name], name), default="")
    if progress.streaks.get(worst, 0) >= job.options.nan_patience:
        what = f"the loss of task {worst!r} was" if worst else "the gradient or every loss was"
        raise TrainingError(
            f"{what} not finite in {plural(progress.streaks[worst], 'step')} in a row.",
            where=f"epoch {progress.epoch + 1}, step {progress.step}",
            do="Look for extreme values in the labels and features (polytask check), lower training.lr, set "
            "training.clip_norm to 1.0, or choose a more robust loss." + _way_out(job),
        )


def _way_out(job: Job) -> str:
    """How to keep what there is, where there is something."""
    if job.save is None:
        return ""
    if not job.progress.epoch:
        return " No epoch is complete."
    return (
        " The last checkpoint is intact: polytask train --resume RUN --stop-here, or resume(run, stop_here=True), "
        "makes a model of the best epoch so far."
    )


def _end_epoch(job: Job) -> EpochDone:
    """Close the running epoch: score it, choose, remember."""
    progress, stepper = job.progress, job.stepper
    progress.epoch += 1
    progress.position = 0
    stepper.balancer.epoch_end()
    scores = job.validator(stepper.model, job.fabric)
    if job.judge is not None:
        progress.kpi = stepper.kpi = job.judge()
    before = progress.selection
    progress.selection = before.after(scores.gains)
    needed = progress.selection.kept(stepper.model.tasks)
    if progress.epoch in needed:
        progress.kept[progress.epoch] = snapshot(stepper.model.state_dict())
    progress.kept = {epoch: weights for epoch, weights in progress.kept.items() if epoch in needed}
    record = EpochRecord(
        epoch=progress.epoch,
        steps=progress.step,
        seconds=progress.seconds,
        lr=stepper.lr,
        train=stepper.tally.losses(),
        validation=scores.losses,
        metric=scores.metrics,
        gains=scores.gains,
        gain=progress.selection.mean_gain(scores.gains),
        weights=stepper.tally.weights(),
        skipped=dict(progress.skipped),
        diagnostics=scores.diagnostics,
        gradients=stepper.gradients.facts(),
    )
    progress.history.append(record)
    progress.skipped.clear()
    stepper.tally.clear()
    stepper.gradients.clear()
    return EpochDone(record, better=progress.selection.epoch == progress.epoch)


def _why_stop(job: Job) -> str | None:
    """Why the loop ends before the next epoch; None to go on."""
    progress, options = job.progress, job.options
    if job.stop_here:
        return "stopped on request"
    if progress.epoch >= options.epochs:
        return "all epochs done"
    if options.max_steps is not None and progress.step >= options.max_steps:
        return "max_steps reached"
    if options.patience and progress.selection.epoch and progress.selection.stale >= options.patience:
        return f"no better epoch for {plural(progress.selection.stale, 'epoch')}"
    return None
