"""Preferences: how much a task counts, by name, in methods that can count tasks unequally."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.contract import State
from polytask.balancing.gramian_evidence import numbers
from polytask.errors import ConfigError
from polytask.maths.gramian import Array

Preference: TypeAlias = Mapping[str, float] | None
"""Task name -> how much it counts, above 0; tasks without one count 1. None: all count the same."""


def check(preference: Preference) -> None:
    """Refuse preferences that are not above 0.

    :raises ConfigError: with the task.
    """
    for task, value in (preference or {}).items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"expected a preference above 0, found {value}.", where=f"preference.{task}")


def begin(preference: Preference, tasks: tuple[str, ...], like: Tensor) -> State:
    """The memory of a method with preferences: a number per task, or nothing if all count the same."""
    if not preference:
        return {}
    return {"preference": torch.tensor([preference.get(t, 1.0) for t in tasks], dtype=like.dtype, device=like.device)}


def shares(state: State, T: int) -> Array:
    """``(T,)``: how much each of the present tasks counts; they sum to 1."""
    if "preference" not in state:
        return np.full(T, 1 / T)
    values = numbers(state["preference"])
    return np.asarray(values / values.sum())
