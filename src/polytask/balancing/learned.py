"""Numbers that a method learns, one per task, by Adam in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.contract import State
from polytask.errors import ConfigError
from polytask.maths.adam import adam


def begin(start: float, tasks: tuple[str, ...], like: Tensor) -> State:
    """The memory of a learned number ``s`` per task: its value and the moments of Adam."""
    zero = torch.zeros(len(tasks), dtype=like.dtype, device=like.device)
    return {"s": zero + start, "first": zero.clone(), "second": zero.clone(), "steps": zero.clone()}


def descend(state: State, slope: Tensor, lr: float) -> State:
    """The memory after one step of Adam down ``slope``, the derivative of the objective with respect to ``s``."""
    s, (first, second, steps) = adam(state["s"], slope, (state["first"], state["second"], state["steps"]), lr)
    return {"s": s, "first": first, "second": second, "steps": steps}


def check_lr(lr: float) -> None:
    """Refuse a step size that is not above 0."""
    if not 0 < lr < float("inf"):
        raise ConfigError(f"expected a number above 0, found {lr}.", where="lr")
