"""DSelect-k: a gate that selects k of n experts, differentiably."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import above, at_least
from polytask.nets.sharing.experts import shared_experts
from polytask.nets.sharing.gates import Gate
from polytask.nets.sharing.mixture import Mixture
from polytask.nets.sharing.sharing import Shared, Sharing
from polytask.tasks.task import Target


@dataclass(frozen=True)
class DSelectK(Sharing):
    r"""Experts for all tasks, of which each task's gate selects at most k.

    Selector j of a task holds :math:`m = \lceil \log_2 n \rceil` numbers :math:`z^j`. Expert i, written in binary with
    the most significant bit first, gets

    .. math:: r(z^j)_i = \prod_{b=1}^m \begin{cases} S(z^j_b) & \text{bit } b \text{ of } i \text{ is } 1 \\
              1 - S(z^j_b) & \text{otherwise} \end{cases}, \qquad q = \sum_{j=1}^k \mathrm{softmax}(\alpha)_j \, r(z^j)

    with the smooth step S, which is exactly 0 and 1 outside of ±γ/2: there, q has at most k non-zero weights.

    Deviation: with ``per_example``, regularisers are means over rows, where the authors' code sums them.

    :param experts: n. A power of two leaves no code without an expert.
    :param k: selectors per task.
    :param gamma: γ, width of the smooth step.
    :param per_example: z and α are linear in what the stem puts out, so that every row selects its own experts; by
        default a task selects once for all rows.
    :param entropy_weight: λ of the entropy of the selectors, which drives them to a decision; off by default.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Hazimeh, Zhao, Chowdhery, Sathiamoorthy, Chen, Mazumder, Hong, Chi",
        "DSelect-k: differentiable selection in the mixture of experts with applications to multi-task learning",
        "NeurIPS",
        2021,
    )

    experts: int = 4
    k: int = 2
    gamma: float = 1.0
    per_example: bool = False
    entropy_weight: float = 0.0

    def __post_init__(self) -> None:
        at_least(2, experts=self.experts)
        at_least(1, k=self.k)
        above(0, gamma=self.gamma)
        at_least(0, entropy_weight=self.entropy_weight)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Experts and selectors."""
        tasks = tuple(target.task.name for target in targets)
        experts = shared_experts(encoder, spec, self.experts)
        return Mixture(tasks, experts, Selectors(self, len(tasks), experts.channels))


class Selectors(Gate):
    """The selectors of G tasks."""

    codes: Tensor

    def __init__(self, options: DSelectK, gates: int, channels: int) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("codes", binary_codes(options.experts), persistent=False)
        inputs = channels if options.per_example else 1
        bits = self.codes.shape[1]
        self.weight = nn.Parameter(torch.empty(gates, options.k * bits, inputs))
        self.alpha = nn.Parameter(torch.empty(gates, options.k, inputs))
        nn.init.uniform_(self.weight, -options.gamma / 100, options.gamma / 100)
        nn.init.uniform_(self.alpha, -0.05, 0.05)

    def forward(self, read: Tensor, gates: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """See :class:`Gate`."""
        index = list(gates)
        read = read if self.options.per_example else read.new_ones(1, 1)
        z = _linear(read, self.weight[index]).view(len(read), len(index), self.options.k, -1)
        alpha = _linear(read, self.alpha[index])
        r = selection(z, self.codes, self.options.gamma)
        weights = torch.einsum("ngk,ngki->ngi", alpha.softmax(-1), r)
        return weights, self._penalty(r)

    def _penalty(self, r: Tensor) -> Tensor | None:
        terms = []
        if self.options.entropy_weight:
            terms.append(self.options.entropy_weight * selector_entropy(r).sum((1, 2)).mean())
        if self.options.experts != 2 ** self.codes.shape[1]:
            terms.append(reachability(r).sum((1, 2)).mean())
        return torch.stack(terms).sum() if terms else None


def smooth_step(t: Tensor, gamma: float) -> Tensor:
    r"""0 below −γ/2, 1 above γ/2, and :math:`-2 t^3 / \gamma^3 + 3 t / (2 \gamma) + 1/2` between."""
    t = t.clamp(-gamma / 2, gamma / 2)
    return -2 * t**3 / gamma**3 + 3 * t / (2 * gamma) + 0.5


def binary_codes(experts: int) -> Tensor:
    """``(n, m)`` bool: the bits of 0 ... n - 1, most significant first."""
    bits = math.ceil(math.log2(experts))
    return (torch.arange(experts)[:, None] >> torch.arange(bits - 1, -1, -1)) % 2 == 1


def selection(z: Tensor, codes: Tensor, gamma: float) -> Tensor:
    """r: what selectors ``(..., m)`` give to n experts with ``codes`` ``(n, m)``: ``(..., n)``."""
    step = smooth_step(z, gamma)[..., None, :]
    return torch.where(codes, step, 1 - step).prod(-1)


def selector_entropy(r: Tensor) -> Tensor:
    r"""Entropy :math:`-\sum_i r_i \log(r_i + 10^{-6})` of selectors ``(..., n)``: ``(...)``."""
    return -(r * (r + 1e-6).log()).sum(-1)


def reachability(r: Tensor) -> Tensor:
    r""":math:`1 / \sum_i r_i` of selectors ``(..., n)``: large when weight goes to codes without an expert.

    Bounded by a million: where a selector has decided for such a code, an infinite loss would teach nothing.
    """
    return 1 / r.sum(-1).clamp(min=1e-6)


def _linear(read: Tensor, weight: Tensor) -> Tensor:
    """``(N, C), (G, O, C) -> (N, G, O)``."""
    return functional.linear(read, weight.flatten(0, 1)).view(len(read), *weight.shape[:2])
