"""Smoothed weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import PAIRS, Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError

KEPT = frozenset({Law.SIMPLEX, Law.SUM_T, Law.POSITIVE, Law.EQUIVARIANT, Law.SCALE_FREE})
"""Laws that a mean of weights over steps obeys if the weights of every step do."""


@dataclass(frozen=True)
class CRMOGM(Weigher):
    """Smooths the weights of another method over the steps, so that the noise of a batch does not throw them about.

    ``w <- alpha w + (1 - alpha) v``, with v the weights of ``method``; w starts at the first v

    It needs what the method needs, and has its scale. In a batch without some tasks, the smoothed weights of those
    present need not have the sum that the method's have. The paper recommends to let alpha rise as the learning rate
    falls; here it is constant.

    :param method: a method that answers with weights: a name, or a mapping ``{"name": ..., field: value}``.
    :param alpha: how much of the last weights is kept, from 0 to below 1.

    Zhou, Zhang, Jiang, Zhong, Gu, Zhu. NeurIPS 2022.
    """

    verified = "worked example; torchjd"
    paper = Paper(
        "Zhou, Zhang, Jiang, Zhong, Gu, Zhu",
        "On the Convergence of Stochastic Multi-Objective Gradient Manipulation and Beyond",
        "NeurIPS",
        2022,
    )
    needs = Need.LOSSES

    method: Weigher
    alpha: float = 0.9

    def __post_init__(self) -> None:
        if not isinstance(self.method, Weigher):
            raise ConfigError(
                f"expected a method that answers with weights, found {type(self.method).__name__}.", where="method"
            )
        if not 0 <= self.alpha < 1:
            raise ConfigError(f"expected a number from 0 to below 1, found {self.alpha}.", where="alpha")
        facts = ("needs", "domain", "looks_back", "n_batches", "reads_kpi", "mentions_all")
        for fact in facts:  # those of the class stand for the least; an instance has those of the method inside
            object.__setattr__(self, fact, getattr(self.method, fact))
        object.__setattr__(self, "laws", self.method.laws & KEPT)

    def mentions(self) -> frozenset[str]:
        """The tasks that the method inside names."""
        return self.method.mentions()

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The smoothed weights (NaN: none yet), and the memory of the method inside under ``inner.``."""
        unknown = torch.full((len(tasks),), math.nan, dtype=like.dtype, device=like.device)
        return {"w": unknown, **_outer(self.method.init(tasks, like))}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The mean of the last weights and the method's."""
        v, inner = self.method.weigh(evidence, _inner(state), rng)
        w = torch.where(state["w"].isnan(), v, torch.lerp(v, state["w"], self.alpha))
        return w, {"w": w, **_outer(inner)}

    def look_back(self, losses: Tensor, state: State) -> State:
        """Only the method inside looks back."""
        return {**state, **_outer(self.method.look_back(losses, _inner(state)))}

    def epoch_end(self, state: State) -> State:
        """Only the method inside knows epochs."""
        return {**state, **_outer(self.method.epoch_end(_inner(state)))}


def _outer(inner: State) -> State:
    return {_kind(key) + "inner." + key.removeprefix(PAIRS): rows for key, rows in inner.items()}


def _inner(state: State) -> State:
    return {_kind(key) + key.split("inner.", 1)[1]: rows for key, rows in state.items() if "inner." in key}


def _kind(key: str) -> str:
    """Keys of pairs stay keys of pairs."""
    return PAIRS if key.startswith(PAIRS) else ""
