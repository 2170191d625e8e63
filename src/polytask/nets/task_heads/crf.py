"""Tag sequences by a linear-chain conditional random field."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Ragged, Targets
from polytask.maths.linear_chain import Chain, log_partition, sequence_score, viterbi
from polytask.nets.task_heads.head import TaskHead
from polytask.nets.task_heads.labelled import padded, with_labels
from polytask.nets.units import Units, real_words
from polytask.tasks.task import Target

LEGAL = ("transitions", "first", "last")


class CRFHead(TaskHead):
    r"""A linear layer whose outputs are emissions of a chain: :math:`\log p(y \mid x) = s(y, x) - \log Z(x)`.

    Weights and transitions start at zero and the bias at the best constant predictor, so that the first loss is that of
    independent words. Labels that are missing, or that training never saw, are summed over (Tsuboi et al., 2008); an
    unseen one counts with a constant log K besides, as a linear head has it.

    Decoding keeps to sequences that are legal in the scheme of the tags: ``constants()`` of the target holds
    ``transitions`` ``(K, K)``, ``first`` ``(K,)`` and ``last`` ``(K,)``, 0 where a label may follow, begin or end, and
    a large negative number where not.

    Lample, Ballesteros, Subramanian, Kawakami and Dyer. Neural architectures for named entity recognition. NAACL 2016.

    :param width: D.
    """

    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        self.task, labels = target.task.name, target.outputs
        self.linear = nn.Linear(width, labels)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(target.bias())
        self.transitions = nn.Parameter(torch.zeros(labels, labels))
        self.first = nn.Parameter(torch.zeros(labels))
        self.last = nn.Parameter(torch.zeros(labels))
        costs = target.constants()
        for name, value in zip(LEGAL, self._chain(), strict=True):
            self.register_buffer(f"legal_{name}", costs.get(name, torch.zeros_like(value)), persistent=False)

    def forward(self, units: Units) -> Units:
        """The vectors as they are: which of them have labels is known when the loss is taken."""
        return units

    def loss_sums(self, outputs: Units, targets: Targets) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of the labels, and how many words have one."""
        found = with_labels(outputs, targets[self.task])
        if found is None:
            return outputs.words.new_zeros(()), outputs.words.new_zeros(())
        units, labels = found
        with torch.autocast(units.words.device.type, enabled=False):
            emissions, real, chain = self._emissions(units), real_words(units.counts), Chain(*self._chain())
            codes = padded(labels[:, 0], real, fill=0.0)
            known = codes >= 0  # neither missing (NaN) nor unseen (negative)
            unseen, count = (codes < 0).sum(), (~codes.isnan() & real).sum()
            score = sequence_score(codes.nan_to_num().clamp(min=0).long(), emissions, real, chain)
            if not known.all():
                score = torch.where(known.all(1), score, log_partition(_kept(emissions, codes, known), real, chain))
            loss = (log_partition(emissions, real, chain) - score).sum()
        return loss + unseen * math.log(emissions.shape[-1]), count.to(loss.dtype)

    @torch.no_grad()
    def answers(self, outputs: Units) -> Ragged:
        """The most likely label sequence of every text: codes ``(M, 1)``."""
        real = real_words(outputs.counts)
        costs = (self.get_buffer(f"legal_{name}") for name in LEGAL)
        legal = Chain(*(scores + cost for scores, cost in zip(self._chain(), costs, strict=True)))
        best = viterbi(self._emissions(outputs), real, legal)
        return Ragged(best[real][:, None].to(torch.float32), outputs.counts)

    def _emissions(self, units: Units) -> Tensor:
        """``(N, L, K)``, in the precision of the weights."""
        values = units.words.to(self.linear.weight.dtype)
        return padded(functional.linear(values, self.linear.weight, self.linear.bias), real_words(units.counts))

    def _chain(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.transitions, self.first, self.last


def _kept(emissions: Tensor, codes: Tensor, known: Tensor) -> Tensor:
    """Emissions with those of other labels far below where the label is known."""
    labels = torch.arange(emissions.shape[-1], device=codes.device)
    other = known[..., None] & (codes[..., None] != labels)
    return emissions.masked_fill(other, -1e4)
