"""How a model is trained: every knob of the loop, with its unit and what it affects."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from polytask.catalogue import check_types
from polytask.errors import ConfigError


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained.

    *Budget*

    :param epochs: most passes over the training rows; the sampler says what a pass is.
    :param max_steps: most optimizer steps, whatever ``epochs`` says; None for no limit.
    :param batch_size: rows of one forward pass, over all devices together: two devices get half of them each.
    :param batch_tokens: for texts: tokens of one forward pass, padding included, over all devices together. Batches are
        then made of texts of about equal length, and ``batch_size`` is the most rows. None: ``batch_size`` rows each.
    :param accumulate: batches per optimizer step. Each task's mean is over its labelled rows in all of them.

    *Optimizer*

    :param optimizer: ``"adamw"`` (Loshchilov & Hutter, ICLR 2019) or ``"sgd"`` with momentum.
    :param lr: learning rate, at its highest.
    :param trunk_lr: factor on the learning rate of all but the heads: a pretrained encoder should learn more slowly
        than heads that begin from nothing.
    :param weight_decay: decoupled for AdamW; never on norms, biases and other vectors.
    :param momentum: of ``"sgd"``.
    :param warmup: the learning rate grows linearly from 0: over this share of all steps if below 1, over this many
        steps otherwise.
    :param schedule: after the warm-up ``"constant"``, or ``"cosine"``: half a cosine down to 0 at the last step.
    :param clip_norm: largest L2 norm of the whole gradient; None for no clipping.

    *Selection*

    :param validation_fraction: share of the training rows that is set aside, drawn by the seed, when no validation
        table is given; 0 for none: then the last epoch is kept.
    :param patience: stop after this many epochs without a better one; 0 for no early stopping.
    :param select_by: what "better" means. ``"loss"``: the mean over primary tasks of ``1 - loss / loss of the constant
        predictor`` on the validation rows. ``"metric"``: the mean of ``1 - error / error of the constant predictor``
        with each task's main metric. Both are 0 for the constant predictor and 1 for a perfect model. Auxiliary
        tasks and task weights have no say.
    :param keep: ``"one"``: the weights of the best epoch for all tasks. ``"per_task"``: for each task the weights of
        its own best epoch, **trunk and head**, because a head fits no trunk but the one it was trained with: up to
        T models, one per distinct epoch, in one artefact. The best epoch of every task is recorded either way.

    *Losses*

    :param normalise_losses: measure each loss in units of the best constant predictor before the balancer sees it, so
        that every task starts at 1. False: the balancer sees raw losses.
    :param nan_patience: a task whose loss is NaN or infinite is left out of that step; after this many steps in a row
        training stops.

    :param balance_every: steps that a balancing method's weights are used for before they are computed anew. Weights of
        gradient methods change slowly; with 10 they cost a tenth.
    :param balance_on: where gradient methods compare the tasks: on the shared ``"parameters"`` (exact), or at the
        ``"features"`` that the heads read: one backward pass through the trunk however many tasks there are. For ways
        of sharing that give all heads the same features.
    :param balance_rows: share of the rows of a batch that gradient methods take their weights from, in a second,
        smaller forward pass; the update uses all rows. They are drawn at random, with this share of every task's
        labelled rows. 1: all rows, without a second pass. A quarter is about as good (``docs/engine.md``). For methods
        that answer with weights; those on losses do not look at it.
    :param balance_fraction: share of the training rows that balancers which learn weights from rows of their own
        (``auto_lambda``, ``moml``) take out of training, drawn by the seed. They are not the validation rows, which
        choose checkpoints. All other balancers leave it alone.

    *Machine*

    :param precision: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"`` (with loss scaling).
    :param accelerator: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"mps"``.
    :param devices: number of devices, or ``"auto"`` for all.
    :param strategy: of Lightning Fabric: ``"auto"``, ``"ddp"``. Gradients are averaged after balancing.
    :param checkpoint_every: epochs between checkpoints, when there is a run folder.
    :param checkpoint_steps: also a checkpoint every so many optimizer steps; None for none inside an epoch.
    :param seed: of the validation rows, the initial weights, the order of rows and dropout.
    :param threads: CPU threads of PyTorch. None: one for small models (parameters times rows of a batch below 50
        million), which gain nothing from more and become a hundred times slower when another process wants the same
        cores; else as many as PyTorch is set to. Bits may differ between numbers of threads.
    """

    epochs: int = 40
    max_steps: int | None = None
    batch_size: int = 256
    batch_tokens: int | None = None
    accumulate: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    trunk_lr: float = 1.0
    weight_decay: float = 1e-2
    momentum: float = 0.9
    warmup: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float | None = None
    validation_fraction: float = 0.18
    patience: int = 6
    select_by: Literal["loss", "metric"] = "loss"
    keep: Literal["one", "per_task"] = "one"
    normalise_losses: bool = True
    nan_patience: int = 10
    balance_every: int = 1
    balance_on: Literal["parameters", "features"] = "parameters"
    balance_rows: float = 1.0
    balance_fraction: float = 0.2
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: str = "auto"
    devices: int | Literal["auto"] = 1
    strategy: str = "auto"
    checkpoint_every: int = 1
    checkpoint_steps: int | None = None
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        check_types(self, "training")
        at_least_one = ("epochs", "batch_size", "accumulate", "nan_patience", "balance_every", "checkpoint_every")
        optional = ("max_steps", "batch_tokens", "checkpoint_steps", "threads")
        for name in (*at_least_one, *(n for n in optional if getattr(self, n) is not None)):
            self._require(name, getattr(self, name) >= 1, "a whole number of at least 1")
        self._require("lr", 0 < self.lr < math.inf, "a number above 0")
        self._require("trunk_lr", 0 < self.trunk_lr < math.inf, "a number above 0")
        self._require("weight_decay", 0 <= self.weight_decay < math.inf, "a number of at least 0")
        self._require("momentum", 0 <= self.momentum < 1, "a number in [0, 1)")
        self._require("warmup", 0 <= self.warmup < math.inf, "a share of all steps below 1, or a number of steps")
        self._require("clip_norm", self.clip_norm is None or 0 < self.clip_norm < math.inf, "a number above 0, or null")
        self._require("validation_fraction", 0 <= self.validation_fraction < 1, "a share in [0, 1)")
        self._require("balance_rows", 0 < self.balance_rows <= 1, "a share in (0, 1]")
        self._require("balance_fraction", 0 < self.balance_fraction < 1, "a share in (0, 1)")
        self._require("patience", self.patience >= 0, "a whole number of at least 0")
        self._require("devices", self.devices == "auto" or int(self.devices) >= 1, "a number of devices, or 'auto'")
        for name, known in CHOICES.items():
            self._require(name, getattr(self, name) in known, " or ".join(repr(k) for k in known))

    def _require(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise ConfigError(f"expected {expected}, found {getattr(self, name)!r}.", where=f"training.{name}")


CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("constant", "cosine"),
    "select_by": ("loss", "metric"),
    "balance_on": ("parameters", "features"),
    "keep": ("one", "per_task"),
    "precision": ("32-true", "bf16-mixed", "16-mixed"),
}


def lr_factor(step: int, total: int, options: TrainingOptions) -> float:
    """The learning rate of optimizer step ``step`` (from 0) of ``total``, as a share of ``options.lr``.

    With w warm-up steps: ``(step + 1) / w`` while ``step < w``; then 1, or for the cosine
    ``(1 + cos(pi * (step - w) / (total - w))) / 2``.
    """
    warmup = round(options.warmup * total) if options.warmup < 1 else int(options.warmup)
    if step < warmup:
        return (step + 1) / warmup
    if options.schedule == "constant":
        return 1.0
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return (1 + math.cos(math.pi * share)) / 2
