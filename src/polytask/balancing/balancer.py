"""The stateful shell: one balancing method in anyone's training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polytask.balancing import losses as door
from polytask.balancing.contract import Evidence, Method
from polytask.balancing.engine import Backward, observe, runnable, weighted_backward
from polytask.balancing.losses import Losses
from polytask.balancing.memory import Memory
from polytask.balancing.methods import METHODS
from polytask.balancing.reuse import Reuse
from polytask.errors import ConfigError, RunError, UserError, did_you_mean

FORMAT = 1


@dataclass(frozen=True)
class StepRecord:
    """What one call of :meth:`Balancer.backward` did. Tensors stay on their device until they are asked for.

    :param names: the T present tasks.
    :param weight_values: ``(T,)``: weight of each in this step's total.
    :param loss_values: ``(T,)``: their losses, detached.
    """

    names: tuple[str, ...]
    weight_values: Tensor
    loss_values: Tensor

    @property
    def weights(self) -> dict[str, float]:
        """Weight by task (waits for the device)."""
        return dict(zip(self.names, self.weight_values.tolist(), strict=True))

    @property
    def losses(self) -> dict[str, float]:
        """Loss by task (waits for the device)."""
        return dict(zip(self.names, self.loss_values.tolist(), strict=True))


class Balancer:
    """Weighs the losses of several tasks and runs their backward pass.

    ``total = scale * sum_t w_t L_t`` over the present tasks, with the weights ``w`` held constant.

    The memory of the method is kept by task name: a task that is absent from a batch keeps its own, a task that is
    met for the first time starts afresh.

    :param method: a name of ``polytask list balancers``, ``"package.module:Class"``, a mapping
        ``{"name": ..., field: value}``, or an instance.
    :param tasks: all tasks of the run. Optional; when given, any other task is an error at once.
    :param seed: seed of the method's own random numbers (drawn on the CPU: the same on every device and process).
    :param every: new weights each n-th step, the last ones in between. It is counted by task: weights are renewed as
        soon as one of the present tasks has used its own ``every`` times (or has none yet). Reused weights are taken
        as they are: they may not sum to 1 (or T) when other tasks are present than before.
    :param check: False skips the check that losses are finite (and above 0 where the method needs it), which on a GPU
        waits for the forward pass once per step; do that only if the loop checks them itself.

    >>> balancer = Balancer("equal")
    >>> parameter = torch.ones(2, requires_grad=True)
    >>> step = balancer.backward({"age": parameter.sum(), "height": (3 * parameter).sum()})
    >>> parameter.grad, step.weights
    (tensor([4., 4.]), {'age': 1.0, 'height': 1.0})
    """

    def __init__(
        self,
        method: str | Mapping[str, Any] | Method = "equal",
        *,
        tasks: Sequence[str] | None = None,
        seed: int = 0,
        every: int = 1,
        check: bool = True,
    ) -> None:
        if every < 1:
            raise ConfigError(f"expected every >= 1, found {every}.", where="balancer")
        self.method = runnable(METHODS.build(method))
        self.tasks = None if tasks is None else tuple(tasks)
        if self.tasks is not None:
            self._check_known(tuple(sorted(self.method.mentions())), f"balancer {METHODS.name_of(self.method)!r}")
        self.seed = seed
        self.every = every
        self.check = check
        self._rng = torch.Generator().manual_seed(seed)
        self._memory = Memory(self._begin)
        self._reuse = Reuse(every)

    def backward(
        self,
        losses: Losses,
        shared: Iterable[Tensor] | None = None,
        *,
        scale: float = 1.0,
        backward: Backward | None = None,
    ) -> StepRecord:
        """Weigh the losses of one batch and add the gradient of their weighted sum to ``.grad`` everywhere.

        :param losses: a scalar per task by name (None: absent from this batch), or a
            :class:`~polytask.batch.TaskLosses`.
        :param shared: the parameters that tasks share. Methods that see losses alone do not look at it.
        :param scale: a factor on the total, 1/k for gradient accumulation over k micro-batches; use ``every=k`` with
            it to hold the weights over the k.
        :param backward: called with the total instead of ``total.backward()``: ``fabric.backward``, or
            ``lambda total: scaler.scale(total).backward()``.
        :raises UserError: no loss, a loss that is not a scalar or has no gradient, an unknown task.
        :raises TrainingError: a loss is NaN or infinite, or not above 0 where the method needs it; the memory and
            ``.grad`` are as before.
        """
        names, values = door.read(losses)
        evidence = observe(values)
        if self.check:
            door.check(
                names, evidence.losses, positive=self.method.positive_losses, method=METHODS.name_of(self.method)
            )
        weights = self._weights(names, evidence)
        weighted_backward(values, weights, scale=scale, backward=backward)
        return StepRecord(names, weights, evidence.losses)

    def epoch_end(self) -> None:
        """Tell the method that an epoch has ended; ``dwa`` works on epoch means and does nothing without it."""
        self._memory.state = self.method.epoch_end(self._memory.state)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on: ``{"tensors": {name: Tensor}, "meta": JSON values}``.

        The tensors share no memory and can be written with safetensors as they are.
        """
        tensors = {f"method.{key}": rows.clone() for key, rows in self._memory.state.items()}
        tensors |= {f"reuse.{key}": rows.clone() for key, rows in self._reuse.memory.state.items()}
        tensors["rng"] = self._rng.get_state()
        meta = {
            "format": FORMAT,
            "method": METHODS.config(self.method),
            "every": self.every,
            "tasks": list(self._memory.names),
            "reuse": dict(self._reuse.uses),
        }
        return {"tensors": tensors, "meta": meta}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where :meth:`state_dict` was taken.

        :raises RunError: it was written by a newer version, another method or other hyperparameters, or tensors are
            missing or superfluous.
        :raises UserError: it remembers tasks that this balancer does not have.
        """
        tensors, meta = dict(state["tensors"]), state["meta"]
        here = {"format": FORMAT, "method": METHODS.config(self.method), "every": self.every}
        for key, expected in here.items():
            if meta[key] != expected:
                raise RunError(
                    f"expected {key} {expected}, found {meta[key]}.",
                    where="state of the balancer",
                    do="Build the balancer with the configuration that wrote the state.",
                )
        names = tuple(meta["tasks"])
        self._check_known(names, "state of the balancer")
        groups: dict[str, dict[str, Tensor]] = {"method": {}, "reuse": {}}
        generator = tensors.pop("rng")
        for key, rows in tensors.items():
            group, _, name = key.partition(".")
            groups[group][name] = rows
        like = torch.zeros(1)
        expected_keys = set(self._begin(names, like)) if names else set()
        if set(groups["method"]) != expected_keys:
            raise RunError(
                f"expected the tensors {sorted(expected_keys)}, found {sorted(groups['method'])}.",
                where="state of the balancer",
            )
        self._memory.replace(names, groups["method"])
        self._reuse.memory.replace(tuple(meta["reuse"]), groups["reuse"])
        self._reuse.uses = dict(meta["reuse"])
        self._rng.set_state(generator)

    def _weights(self, names: tuple[str, ...], evidence: Evidence) -> Tensor:
        if not self._reuse.due(names):
            return self._reuse.take(names, evidence.losses)
        before = self._memory.gather(names, evidence.losses)
        weights, after = self.method.weigh(evidence, before, self._rng)
        self._memory.scatter(names, after)
        self._reuse.keep(names, weights)
        return weights

    def _begin(self, names: tuple[str, ...], like: Tensor) -> dict[str, Tensor]:
        self._check_known(names, "losses")
        return self.method.init(names, like)

    def _check_known(self, names: tuple[str, ...], where: str) -> None:
        if self.tasks is None:
            return
        for name in names:
            if name not in self.tasks:
                raise UserError(
                    f"expected tasks among {', '.join(self.tasks)}, found {name!r}.",
                    where=where,
                    do=did_you_mean(name, self.tasks),
                )
