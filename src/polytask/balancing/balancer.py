"""The stateful shell: one balancing method in anyone's training loop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polytask.balancing import losses as door
from polytask.balancing import snapshot
from polytask.balancing.contract import Evidence, Method
from polytask.balancing.engine import Backward, observe, runnable, weighted_backward
from polytask.balancing.losses import Losses
from polytask.balancing.memory import Memory
from polytask.balancing.methods import METHODS
from polytask.balancing.reuse import Reuse
from polytask.errors import ConfigError, UserError, did_you_mean

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
    :param check: False skips the check that losses are finite and in the domain of the method, which on a GPU waits
        for the forward pass in every step; do that only if the loop checks them itself.

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
        self.name = METHODS.name_of(self.method)
        self.tasks = None if tasks is None else tuple(tasks)
        if self.tasks is not None:
            self._check_known(tuple(sorted(self.method.mentions())), f"balancer {self.name!r}")
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
        :raises TrainingError: a loss is NaN or infinite, or outside the domain of the method (``gls`` and ``log``
            take losses above 0 only); the memory and ``.grad`` are as before.
        """
        names, values = door.read(losses)
        evidence = observe(values)
        if self.check:
            door.check(names, evidence.losses, self.method, self.name)
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
        return snapshot.take(self._header(), self._memory, self._reuse, self._rng)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where :meth:`state_dict` was taken; nothing is changed if that cannot be.

        :raises RunError: the state is of another version, method or configuration, or its tensors do not fit.
        :raises UserError: the state remembers a task that is not among ``tasks``.
        """
        names = snapshot.check_meta(state["meta"], self._header())
        self._check_known(names, snapshot.PLACE)
        fresh = self._begin(names, torch.zeros(1)) if names else {}
        snapshot.restore(state, fresh, self._memory, self._reuse, self._rng)

    def _header(self) -> dict[str, Any]:
        return {"format": FORMAT, "method": METHODS.config(self.method), "every": self.every}

    def _weights(self, names: tuple[str, ...], evidence: Evidence) -> Tensor:
        if not self._reuse.due(names):
            return self._reuse.take(names, evidence.losses)
        before = self._memory.gather(names, evidence.losses)
        weights, after = self.method.weigh(evidence, before, self._rng)
        self._memory.scatter(names, after)
        self._reuse.keep(names, weights)
        return weights

    def _begin(self, names: tuple[str, ...], like: Tensor) -> dict[str, Tensor]:
        self._check_known(names, "tasks")
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
