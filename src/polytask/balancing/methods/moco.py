"""Multi-objective gradient correction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from polytask.balancing.contract import Combiner, Evidence, Law, State
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.blocks import products
from polytask.maths.projection import onto_simplex


@dataclass(frozen=True)
class MoCo(Combiner):
    """Follows weights that tend to the smallest combined gradient, on running means of the gradients.

    ``y_t <- y_t + beta (g_t - y_t),   w <- project(w - gamma (Y Y^T w + rho w)),   d = Y^T w``

    with the projection onto the simplex; y starts at zero, w at 1/T. The running means take away the bias that the
    noise of a batch gives to the weights. The scale is that of a mean, and is small in the first ``1 / beta`` steps.
    ``gamma`` is in units of one over a squared gradient: large gradients make w jump from corner to corner.

    The memory holds one gradient per task (T P numbers), and while a step is computed the new one beside it. A task
    that is absent from a batch keeps its mean and takes no part in the update. The published code of a popular library
    multiplies unit gradients by their losses and takes a softmax of w in place of the projection; this is the paper's
    form.

    :param beta: how far y moves towards the new gradient, from 0 to 1.
    :param gamma: step size of w.
    :param rho: pull of w towards equal weights.

    Fernando, Shen, Liu, Chaudhury, Murugesan, Chen. ICLR 2023.
    """

    paper = Paper(
        "Fernando, Shen, Liu, Chaudhury, Murugesan, Chen",
        "Mitigating Gradient Bias in Multi-objective Learning: A Provably Convergent Approach",
        "ICLR",
        2023,
    )
    verified = "worked example; its limit mgda"
    laws = frozenset({Law.EQUIVARIANT})

    beta: float = 0.1
    gamma: float = 0.1
    rho: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.beta <= 1:
            raise ConfigError(f"expected a number above 0 and up to 1, found {self.beta}.", where="beta")
        for field, value in (("gamma", self.gamma), ("rho", self.rho)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"expected a number of 0 or more, found {value}.", where=field)

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The running means and the weights."""
        T = len(tasks)
        return {"y": like.new_zeros(T, like.shape[-1]), "w": like.new_full((T,), 1 / T)}

    def combine(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """One step of the means and of the weights."""
        Y = torch.lerp(state["y"], evidence.rows, self.beta)
        w = onto_simplex(state["w"])
        w = onto_simplex(w.double() - self.gamma * (products(Y, w @ Y) + self.rho * w)).to(Y)
        return w @ Y, {"y": Y, "w": w}
