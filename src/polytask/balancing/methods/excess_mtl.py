"""Excess risks as weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.blocks import blocks


@dataclass(frozen=True)
class ExcessMTL(Weigher):
    """Gives more weight to tasks that are further from the loss they can reach, which label noise cannot fake.

    ``w_t <- w_t exp(eta e_t / e_t(0)) / Z,   e_t = sum_p g_tp^2 / sqrt(s_tp),   s_t <- s_t + g_t^2``

    e estimates the excess risk with a diagonal of second moments, as Adagrad does. The first step of a task with a
    gradient above 0 sets its e(0) and leaves its weight alone. Z makes the weights sum to the number of present tasks.
    The paper starts at 1/T and sums to 1, the published code as here; that code adds 1e-7 to s, which is left out, so
    that the unit of the losses does not matter (where s is 0, so is the gradient).

    The memory holds one number per task and parameter (T P), and while a step is computed the new ones beside them.

    :param eta: step size of the logarithm of the weights.

    He, Zhou, Zhang, Yun, Xu, Zeng, Chilimbi, Zhao. ICML 2024.
    """

    needs = Need.JACOBIAN
    paper = Paper(
        "He, Zhou, Zhang, Yun, Xu, Zeng, Chilimbi, Zhao",
        "Robust Multi-Task Learning with Excess Risks",
        "ICML",
        2024,
    )
    verified = "worked example; twin; torchjd"
    laws = frozenset({Law.SUM_T, Law.EQUIVARIANT, Law.SCALE_FREE})

    eta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.eta < math.inf:
            raise ConfigError(f"expected a number above 0, found {self.eta}.", where="eta")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """Sums of squares, the first excess (NaN: not yet known) and log w."""
        zero = like.new_zeros(len(tasks))
        return {"s": like.new_zeros(len(tasks), like.shape[-1]), "first": zero + math.nan, "log_w": zero}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """One multiplicative step, in logarithms."""
        J = evidence.rows
        s = torch.addcmul(state["s"], J, J)
        e = excess(J, s).to(evidence.losses)
        ratio = (e / state["first"]).nan_to_num(nan=0.0)  # unknown before the first step with a gradient
        first = torch.where(state["first"].isnan() & (e > 0), e, state["first"])
        T, before = len(e), state["log_w"]
        log_w = torch.log_softmax(before + self.eta * ratio, 0)
        # The present tasks keep what they hold together, so that absent ones neither gain nor lose.
        return T * log_w.exp(), {"s": s, "first": first, "log_w": log_w + before.logsumexp(0)}


def excess(J: Tensor, s: Tensor) -> Tensor:
    """``sum_p g_tp^2 / sqrt(s_tp)``: ``(T, P), (T, P) -> (T,)`` in float64, in blocks; 0 where s is 0."""
    tiny = torch.finfo(s.dtype).tiny
    pairs = zip(blocks(J), blocks(s), strict=True)
    return torch.stack([(g * g * b.clamp_min(tiny).rsqrt()).sum(1).double() for g, b in pairs]).sum(0)
