"""Multi-objective meta learning: weights that lower all validation losses at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polytask.balancing import learned
from polytask.balancing.contract import State
from polytask.balancing.losses import Given
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.gramian import Gramian, nearest_psd
from polytask.maths.simplex import min_norm
from polytask.training.bilevel.contract import Bilevel, finite_rows
from polytask.training.bilevel.problem import Problem, gradient, leaves


@dataclass(frozen=True)
class MOML(Bilevel):
    """Moves the weights along a direction in which, after a step of training, every validation loss falls.

    ``theta' = theta - inner_lr sum_t w_t grad L_t``, ``w = softmax(a)``;
    ``M_it = -inner_lr grad L_i_val(theta') . grad L_t(theta)``, the derivative of validation loss i with respect to
    w_t; ``R = M dw/da``, rows brought to length 1; ``mu = argmin |mu R|`` on the simplex (MGDA, solved exactly);
    ``a <- Adam(a, mu R)``.

    The closed form of one inner step of plain SGD: nothing is differentiated twice. Weights start equal and sum to 1
    over the tasks of the batch. A row of length 0 has no say. A step costs two forward passes and a backward pass per
    task for each, and holds T gradients. Published code of the authors learns w without the softmax.

    :param lr: step size of ``a``.
    :param inner_lr: learning rate of the virtual step. As rows are normalised, it decides only where the validation
        gradients are taken.

    Ye, Lin, Yue, Guo, Xiao, Zhang. NeurIPS 2021.
    """

    verified = "autograd through the virtual step; exact shortest combination"
    paper = Paper("Ye, Lin, Yue, Guo, Xiao, Zhang", "Multi-Objective Meta Learning", "NeurIPS", 2021)
    passes = "2T + 1"

    lr: float = 1e-3
    inner_lr: float = 1e-4

    def __post_init__(self) -> None:
        learned.check_lr(self.lr)
        if not 0 < self.inner_lr < float("inf"):
            raise ConfigError(f"expected a number above 0, found {self.inner_lr}.", where="inner_lr")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The logits a, and the moments of Adam."""
        return learned.begin(0.0, tasks, like)

    def weigh(self, train: Given, problem: Problem[Any], state: State) -> tuple[Tensor, State]:
        """The softmax after its step."""
        M = self.slopes(train, problem, state["s"])
        if M is not None:
            slope = common_descent(M, state["s"]).to(state["s"])
            state = finite_rows(state, learned.descend(state, slope, self.lr), slope)
        return state["s"].softmax(0), state

    def slopes(self, train: Given, problem: Problem[Any], logits: Tensor) -> Tensor | None:
        """M ``(S, T)`` float64, a row per primary task in the validation batch; None if it has none."""
        theta = problem.parameters
        rows = [gradient(loss, theta, graph=True) for loss in train.values().unbind()]
        w = logits.softmax(0).tolist()
        virtual = leaves(
            list(theta),
            [
                p.detach()
                - self.inner_lr * sum((share * part for share, part in zip(w, parts, strict=True)), p.new_zeros(()))
                for p, parts in zip(theta.values(), zip(*rows, strict=True), strict=True)
            ],
        )
        outer = problem.validation(virtual)
        if outer is None:
            return None
        found = [products(gradient(loss, virtual, graph=True), rows) for loss in outer.values().unbind()]
        return -self.inner_lr * torch.stack(found)


def products(one: Sequence[Tensor], rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """``(T,)`` float64: inner products of one gradient with T others, parameter by parameter."""
    found = [
        [torch.dot(a.double().flatten(), b.double().flatten()) for b in parts]
        for a, *parts in zip(one, *rows, strict=True)
    ]
    return torch.stack([torch.stack(parts) for parts in found]).sum(0)


def common_descent(M: Tensor, logits: Tensor) -> Tensor:
    """``mu R`` ``(T,)`` float64: the shortest convex combination of the unit rows of ``M dw/da``.

    :param M: ``(S, T)``: derivatives of S losses with respect to the weights ``w = softmax(a)``.
    :param logits: a ``(T,)``.
    """
    w = logits.detach().double().cpu().softmax(0)
    M = M.double().cpu()
    R = (M - (M @ w)[:, None]) * w
    length = torch.linalg.vector_norm(R, dim=1)
    if not bool(length.isfinite().all()):
        return torch.full_like(w, torch.nan)
    alive = length > 0
    if not bool(alive.any()):
        return torch.zeros_like(w)
    units = R[alive] / length[alive, None]
    gramian = Gramian.split((units @ units.T).numpy())
    mu = min_norm(nearest_psd(gramian.cosines), np.ones(len(units)))
    descent: Tensor = torch.from_numpy(mu) @ units
    return descent
