"""The stateful shell: one bilevel method in anyone's training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from polytask.balancing.losses import Losses, read
from polytask.balancing.memory import Memory
from polytask.errors import RunError, UserError, did_you_mean
from polytask.tasks.task import Target
from polytask.training.bilevel.contract import Bilevel
from polytask.training.bilevel.problem import Problem


class BilevelBalancer:
    """Learns the weights of several losses from a second batch, and takes the step.

    Memory is kept by task name: a task that is absent from a batch keeps its own, a task that is met for the first
    time starts afresh. For one process: weights would differ between processes that see different batches.

    :param method: for example ``AutoLambda(lr=3e-5)``.
    :param primary: the tasks whose validation losses count; None: all. :func:`primary_tasks` reads them off targets.

    >>> from polytask.training.bilevel.auto_lambda import AutoLambda
    >>> model = torch.nn.Linear(3, 2)
    >>> def losses(model, batch):
    ...     x, y = batch
    ...     errors = (model(x) - y).square().mean(0)
    ...     return {"a": errors[0], "b": errors[1]}
    >>> batches = [(torch.randn(8, 3), torch.randn(8, 2)) for _ in range(3)]
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> balancer = BilevelBalancer(AutoLambda(), primary=["a"])
    >>> for train, following in zip(batches, batches[1:]):
    ...     weights = balancer.step(model, losses, train, following, optimizer)
    >>> sorted(weights)
    ['a', 'b']
    """

    def __init__(self, method: Bilevel, *, primary: Iterable[str] | None = None) -> None:
        self.method = method
        self.primary = None if primary is None else frozenset(primary)
        if self.primary is not None and not self.primary:
            raise UserError("expected at least one primary task, found none.", where="primary")
        self._memory = Memory(method.init)

    def weights(
        self,
        model: nn.Module,
        losses: Callable[[nn.Module, Any], Losses],
        train_batch: Any,
        validation_batch: Any,
        optimizer: Optimizer,
    ) -> dict[str, Tensor]:
        """New weights of the tasks in the training batch: scalars without gradient. The model is not changed.

        :param losses: ``losses(model, batch)``: one scalar per task by name (None: absent), or ``TaskLosses``.
        :param validation_batch: rows that are not in ``train_batch``; the authors take the next training batch.
        :param optimizer: of all trainable parameters of the model; it is read, not stepped.
        :raises UserError: losses without gradient, or a parameter that the optimizer does not know.
        """
        problem = Problem(model, losses, train_batch, validation_batch, optimizer, self.primary)
        with torch.enable_grad():
            train = problem.train()
            state = self._memory.gather(train.names, train.seen())
            weights, after = self.method.weigh(train, problem, state)
        self._memory.scatter(train.names, after)
        return dict(zip(train.names, weights.detach().unbind(), strict=True))

    def step(
        self,
        model: nn.Module,
        losses: Callable[[nn.Module, Any], Losses],
        train_batch: Any,
        validation_batch: Any,
        optimizer: Optimizer,
    ) -> dict[str, float]:
        """New weights, then one step of the optimizer down the weighted training losses. Parameters: :meth:`weights`.

        :returns: the weights.
        """
        weights = self.weights(model, losses, train_batch, validation_batch, optimizer)
        optimizer.zero_grad()
        given = read(losses(model, train_batch))
        if set(given.names) != weights.keys():
            raise UserError(
                f"expected the losses of {', '.join(weights)} again, found {', '.join(given.names)}.",
                where="losses",
                do="Let losses(model, batch) answer with the same tasks whenever it is given the same batch.",
            )
        values = given.values()
        torch.autograd.backward([torch.stack([weights[name] for name in given.names]).to(values) @ values])
        optimizer.step()
        return {name: float(weight) for name, weight in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        """The memory: names, and tensors with one row per name."""
        return {"tasks": list(self._memory.names), "state": {k: v.clone() for k, v in self._memory.state.items()}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Put back what :meth:`state_dict` gave.

        :raises RunError: it belongs to another method.
        """
        names, state = tuple(saved["tasks"]), dict(saved["state"])
        expected = self.method.init(names, torch.zeros(len(names))) if names else {}
        for key in expected.keys() ^ state.keys():
            raise RunError(
                f"the memory does not fit {type(self.method).__name__}.", where=key, do=did_you_mean(key, expected)
            )
        for key, rows in state.items():
            if rows.shape != expected[key].shape:
                raise RunError(
                    f"expected the shape {tuple(expected[key].shape)}, found {tuple(rows.shape)}.", where=key
                )
        self._memory.replace(names, {key: rows.clone() for key, rows in state.items()})


def primary_tasks(targets: Iterable[Target]) -> frozenset[str]:
    """The tasks whose role is not ``"auxiliary"``."""
    return frozenset(target.task.name for target in targets if target.task.role == "primary")
