"""Auto-lambda: weights that lower the validation losses of the primary tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polytask.balancing import learned
from polytask.balancing.contract import State
from polytask.balancing.losses import Given
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.training.bilevel.contract import Bilevel, finite_rows
from polytask.training.bilevel.problem import Problem, gradient, inner_step


@dataclass(frozen=True)
class AutoLambda(Bilevel):
    """Raises the weight of a task whose gradient lowers the validation losses of the primary tasks.

    ``theta' = theta - alpha (m mom + grad sum_i lambda_i L_i + wd theta)``, one virtual step of the optimizer;
    ``d = grad sum_primary L_val(theta')``;
    ``dlambda_i = -alpha [L_i(theta + eps d) - L_i(theta - eps d)] / (2 eps)``, ``eps = radius / |d|``;
    ``lambda <- Adam(lambda, dlambda)``.

    For small ``radius`` this is ``-alpha d . grad L_i``, the derivative of the validation loss after the step with
    respect to lambda. With a learning rate per parameter group, d is scaled by the rate of each group (the factor
    alpha then is inside), which is the same with one rate and the true derivative with several. Weights start at
    ``start``, are not normalised, and may become negative, as in the paper.

    A step costs two forward and backward passes and two forward passes beside the training step itself. A task whose
    slope is not finite keeps its weight; without a primary task in the validation batch all do.

    :param lr: step size of lambda; the authors take 1e-4 on NYUv2 and 3e-5 on Cityscapes.
    :param start: lambda before the first step.
    :param radius: length of the move for the difference, in units of the parameters.

    Liu, James, Davison, Johns. TMLR 2022.
    """

    verified = "worked example; autograd through the virtual step"
    paper = Paper("Liu, James, Davison, Johns", "Auto-Lambda: Disentangling Dynamic Task Relationships", "TMLR", 2022)
    passes = "3, and 4 forward"

    lr: float = 1e-4
    start: float = 0.1
    radius: float = 0.01

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)
        if not 0 < self.radius < math.inf:
            raise ConfigError(f"expected a number above 0, found {self.radius}.", where="radius")
        if not math.isfinite(self.start):
            raise ConfigError(f"expected a finite number, found {self.start}.", where="start")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """Lambda, and the moments of Adam."""
        return learned.begin(self.start, tasks, like)

    def weigh(self, train: Given, problem: Problem[Any], state: State) -> tuple[Tensor, State]:
        """Lambda after its step."""
        slope = self.slope(train, problem, state["s"])
        if slope is None:
            return state["s"], state
        after = finite_rows(state, learned.descend(state, slope, self.lr), slope)
        return after["s"], after

    def slope(self, train: Given, problem: Problem[Any], weights: Tensor) -> Tensor | None:
        """dlambda ``(T,)``; None if no primary task is in the validation batch."""
        values = train.values()
        theta = problem.parameters
        virtual, rates = inner_step(problem, gradient(weights.to(values) @ values, theta))
        outer = problem.validation(virtual)
        if outer is None:
            return None
        direction = [rate * part for rate, part in zip(rates, gradient(outer.values().sum(), virtual), strict=True)]
        length = float(torch.nn.utils.get_total_norm(direction))
        if length == 0:
            return torch.zeros_like(weights)
        step = self.radius / length
        ahead, behind = (self._moved(problem, direction, sign * step) for sign in (1, -1))
        return ((behind.double() - ahead.double()) / (2 * step)).to(weights)

    def _moved(self, problem: Problem[Any], direction: Sequence[Tensor], step: float) -> Tensor:
        """Training losses at ``theta + step * direction``."""
        with torch.no_grad():
            pairs = zip(problem.parameters.items(), direction, strict=True)
            return problem.train({name: p + step * part for (name, p), part in pairs}).values()
