r"""Linear-chain conditional random fields: scores, partition functions and best paths of label sequences.

.. math:: s(y, x) = a_{y_1} + \sum_{t=1}^{L} e_{t, y_t} + \sum_{t=2}^{L} A_{y_{t-1}, y_t} + b_{y_L}, \qquad
          \log p(y \mid x) = s(y, x) - \log \sum_{y'} \exp s(y', x)

Everything is batched over N sequences that are padded to L steps, real steps first. A sequence without a step has
one labelling, the empty one: its score and its log-partition are 0.

A forbidden transition is -inf in :func:`viterbi`; where gradients are needed use a large negative number, because the
derivative of a sum without a finite term is NaN. Labels known in part (Tsuboi, Kashima, Mori, Oda and Matsumoto,
Training conditional random fields using incomplete annotations, COLING 2008) are the difference of two partitions:
of all labellings, and of those that are allowed, with -inf emissions for labels that are not.

Lafferty, McCallum and Pereira. Conditional random fields. ICML 2001. Rabiner. A tutorial on hidden Markov models.
Proceedings of the IEEE 1989.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chain:
    """What the labels of a sequence say about each other.

    :param transitions: ``(K, K)`` A, from the row's label to the column's.
    :param start: ``(K,)`` a, of the first label. :param end: ``(K,)`` b, of the last one.
    """

    transitions: Tensor
    start: Tensor
    end: Tensor


def sequence_score(labels: Tensor, emissions: Tensor, mask: Tensor, chain: Chain) -> Tensor:
    """``s(y, x)`` of given labels: ``(N,)``.

    :param labels: ``(N, L)`` int64 codes; those of padding are not read, but must be codes.
    :param emissions: ``(N, L, K)`` e. :param mask: ``(N, L)`` bool, real steps first.
    """
    lengths = mask.sum(1)
    if emissions.shape[1] == 0:
        return emissions.new_zeros(len(emissions))
    zero = emissions.new_zeros(())
    own = emissions.gather(2, labels[..., None])[..., 0]
    total = torch.where(mask, own, zero).sum(1)
    steps = torch.where(mask[:, 1:], chain.transitions[labels[:, :-1], labels[:, 1:]], zero).sum(1)
    last = labels.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
    return total + steps + torch.where(lengths > 0, chain.start[labels[:, 0]] + chain.end[last], zero)


def log_partition(emissions: Tensor, mask: Tensor, chain: Chain) -> Tensor:
    """``log sum_y exp s(y, x)`` by the forward algorithm: ``(N,)``; the work is ``N L K^2``.

    Its gradient by the emissions is the marginal probability of each label at each step.

    >>> free = Chain(torch.zeros(2, 2), torch.zeros(2), torch.zeros(2))
    >>> log_partition(torch.zeros(1, 3, 2), torch.ones(1, 3).bool(), free)  # log 2^3
    tensor([2.0794])
    """
    if emissions.shape[1] == 0:
        return emissions.new_zeros(len(emissions))
    alpha = chain.start + emissions[:, 0]
    for t in range(1, emissions.shape[1]):
        reached = torch.logsumexp(alpha[:, :, None] + chain.transitions, 1) + emissions[:, t]
        alpha = torch.where(mask[:, t, None], reached, alpha)
    total = torch.logsumexp(alpha + chain.end, 1)
    return torch.where(mask[:, 0], total, emissions.new_zeros(()))


@torch.no_grad()
def viterbi(emissions: Tensor, mask: Tensor, chain: Chain) -> Tensor:
    """The labels of the highest score: ``(N, L)`` int64, 0 at padding.

    Forney. The Viterbi algorithm. Proceedings of the IEEE 1973.

    >>> emissions = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> never_back = Chain(torch.tensor([[0.0, 0.0], [-torch.inf, 0.0]]), torch.zeros(2), torch.zeros(2))
    >>> viterbi(emissions, torch.ones(1, 2).bool(), never_back)
    tensor([[0, 0]])
    """
    n, length, _ = emissions.shape
    labels = torch.zeros(n, length, dtype=torch.int64, device=emissions.device)
    if length == 0:
        return labels
    delta = chain.start + emissions[:, 0]
    origins = []
    for t in range(1, length):
        best, origin = (delta[:, :, None] + chain.transitions).max(1)
        real = mask[:, t, None]
        delta = torch.where(real, best + emissions[:, t], delta)
        origins.append(origin)
    current = (delta + chain.end).argmax(1)
    for t in range(length - 1, -1, -1):  # a sequence's last label is known before its padding ends
        labels[:, t] = torch.where(mask[:, t], current, 0)
        if t:
            earlier = origins[t - 1].gather(1, current[:, None])[:, 0]
            current = torch.where(mask[:, t], earlier, current)
    return labels
