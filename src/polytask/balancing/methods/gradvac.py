"""Gradient vaccine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from polytask.balancing.contract import PAIRS, Evidence, Law, Need, State, Weigher
from polytask.balancing.gramian_evidence import numbers, weights_of
from polytask.balancing.methods.pcgrad import among, random_order
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.maths.conflict import raise_cosines
from polytask.maths.gramian import Array, Gramian

USUAL = f"{PAIRS}cosine"


@dataclass(frozen=True)
class GradVac(Weigher):
    """Turns every task's gradient towards those whose cosine with it is below its usual value, in random order.

    ``d_i = g_i;   for j != i in random order:  phi = cos(d_i, g_j);  if phi < m_ij:  d_i <- d_i + a g_j
    a = |d_i| (m sqrt(1 - phi^2) - phi sqrt(1 - m^2)) / (|g_j| sqrt(1 - m^2)),   m_ij <- (1 - beta) m_ij + beta phi``

    so that ``cos(d_i, g_j) = m_ij`` afterwards. The update is the sum of the d_i. The memory m, a number per pair of
    tasks, begins at 0 (the first step is ``pcgrad``) and follows every pair that is visited. One group: all shared
    parameters; the paper also keeps memories per layer. A task with zero gradient changes nothing, keeps the weight 1,
    and its pairs keep their memory.

    :param beta: how much of m is replaced in a step, from 0 to 1.

    Wang, Tsvetkov, Firat, Cao. ICLR 2021.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Wang, Tsvetkov, Firat, Cao",
        "Gradient Vaccine: Investigating and Improving Multi-task Optimization in Massively Multilingual Models",
        "ICLR",
        2021,
    )
    verified = "the paper's loop; worked examples with memory"
    laws = frozenset({Law.POSITIVE, Law.SCALE_FREE, Law.LINEAR})

    beta: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1:
            raise ConfigError(f"expected a number from 0 to 1, found {self.beta}.", where="beta")

    def init(self, tasks: tuple[str, ...], like: Tensor) -> State:
        """The usual cosine of every pair: 0."""
        return {USUAL: torch.zeros(len(tasks), len(tasks), dtype=like.dtype, device=like.device)}

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """The sums over tasks of the coefficients, then the memory of the cosines that were met."""
        order = random_order(len(evidence.losses), rng)
        usual = numbers(state[USUAL]).copy()

        def solve(gramian: Gramian) -> Array:
            pairs = np.ix_(gramian.alive, gramian.alive)
            coefficients, met = raise_cosines(gramian.cosines, usual[pairs], among(order, gramian))
            usual[pairs] += self.beta * (met - usual[pairs])
            return np.asarray((gramian.norms @ coefficients) / gramian.norms)

        weights = weights_of(evidence, solve, zero=1.0, none=1.0)
        return weights, {USUAL: torch.from_numpy(usual).to(state[USUAL])}
