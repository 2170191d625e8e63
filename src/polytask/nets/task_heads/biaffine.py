"""Dependency trees by deep biaffine attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Ragged, Targets
from polytask.maths.trees import best_tree
from polytask.nets.task_heads.head import TaskHead
from polytask.nets.task_heads.labelled import owners, padded, places, with_labels
from polytask.nets.units import Units, real_words
from polytask.tasks.task import Target

ARC, RELATION = 192, 40
"""Numbers per word that arcs and relations are scored by."""
DROPOUT = 0.33


class BiaffineHead(TaskHead):
    r"""Every word chooses its head among the other words and the root, and the relation to it.

    With two vectors of each word, as a dependent :math:`d_i` and as a head :math:`h_j` (the root's is learned),

    .. math:: s_{ij} = d_i^\top U h_j + u^\top h_j, \qquad r_{ijk} = [d'_i; 1]^\top V_k [h'_j; 1] + c_k

    The loss of a word is the cross-entropy of its head among n candidates plus that of its relation to the true head.
    U, u and V start at zero and c at the best constant predictor: the first loss is log n plus that of relations. A
    negative relation was never seen in training: it costs log K and teaches nothing.

    Answers are the best tree with one word below the root, under :math:`\log \mathrm{softmax}_j \, s_{ij}`.

    Dozat and Manning. Deep biaffine attention for neural dependency parsing. ICLR 2017.

    :param width: D.
    """

    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        self.task = target.task.name
        self.root = nn.Parameter(torch.randn(width) * width**-0.5)
        self.project = nn.Linear(width, 2 * ARC + 2 * RELATION)
        self.arcs = nn.Parameter(torch.zeros(ARC + 1, ARC))
        self.relations = nn.Parameter(torch.zeros(target.outputs, RELATION + 1, RELATION + 1))
        self.relation_bias = nn.Parameter(target.bias().to(torch.float32).clone())

    def forward(self, units: Units) -> Units:
        """The vectors as they are: which of them have labels is known when the loss is taken."""
        return units

    def loss_sums(self, outputs: Units, targets: Targets) -> tuple[Tensor, Tensor]:
        """Cross-entropies of heads and relations, and how many words have both."""
        found = with_labels(outputs, targets[self.task])
        if found is None:
            return outputs.words.new_zeros(()), outputs.words.new_zeros(())
        units, labels = found
        real, itself = real_words(units.counts), places(units.counts) + 1
        last = torch.repeat_interleave(units.counts, units.counts)
        known = ~labels.isnan().any(-1) & (labels[:, 0] >= 0) & (labels[:, 0] <= last) & (labels[:, 0] != itself)
        heads, relation = labels.nan_to_num().clamp(min=0).long().unbind(1)
        with torch.autocast(units.words.device.type, enabled=False):
            parts = self._parts(units)
            arcs = self._arc_scores(parts, real)[real]
            place = torch.where(known, heads, 0)
            loss = functional.cross_entropy(arcs[known], place[known], reduction="sum")
            logits = self._relation_scores(parts, real, place)
            seen = known & (labels[:, 1] >= 0)
            loss = loss + functional.cross_entropy(logits[seen], relation[seen], reduction="sum")
            loss = loss + (known & ~seen).sum() * math.log(logits.shape[-1])
        return loss, known.sum().to(loss.dtype)

    @torch.no_grad()
    def answers(self, outputs: Units) -> Ragged:
        """The best tree of every text: heads and relations, ``(M, 2)``."""
        real, parts = real_words(outputs.counts), self._parts(outputs)
        scores = self._arc_scores(parts, real).log_softmax(-1).transpose(1, 2).double().cpu().numpy()
        found = [torch.zeros(0, dtype=torch.int64)]
        for n, own in zip(outputs.counts.tolist(), scores, strict=True):
            if n:
                square = functional.pad(torch.from_numpy(own[: n + 1, :n]), (1, 0)).numpy()
                found.append(torch.from_numpy(best_tree(square)))
        heads = torch.cat(found).to(real.device)
        relations = self._relation_scores(parts, real, heads).argmax(-1)
        return Ragged(torch.stack([heads, relations], 1).to(torch.float32), outputs.counts)

    def _parts(self, units: Units) -> tuple[Tensor, ...]:
        """What words are as dependents ``(M, ·)`` and as heads ``(N + M, ·)``, for arcs, then for relations.

        Among the heads the roots of all texts come first.
        """
        texts = len(units.counts)
        whose = torch.cat([torch.arange(texts, device=self.root.device), owners(units.counts)])
        vectors = torch.cat([self.root.expand(texts, -1), units.words.to(self.root.dtype)])
        joint = self._dropped(functional.leaky_relu(self.project(self._dropped(vectors, whose)), 0.1), whose)
        arc_word, arc_head, word, head = torch.split(joint, [ARC, ARC, RELATION, RELATION], -1)
        return arc_word[texts:], arc_head, word[texts:], head

    def _dropped(self, values: Tensor, whose: Tensor) -> Tensor:
        """Dropout with one mask for all words of a text, as in the paper: ``(N + M, D)``."""
        if not self.training:
            return values
        masks = functional.dropout(values.new_ones(int(whose.max()) + 1, values.shape[1]), DROPOUT)
        return values * masks.index_select(0, whose)

    def _arc_scores(self, parts: tuple[Tensor, ...], real: Tensor) -> Tensor:
        """Scores of every word's heads, the root first; -inf for padding and the word itself: ``(N, L, 1 + L)``."""
        words, texts, length = parts[0], *real.shape
        read = functional.linear(_with_one(words), self.arcs.T)
        heads = torch.cat([parts[1][:texts, None], padded(parts[1][texts:], real)], 1)
        scores = padded(read, real) @ heads.transpose(1, 2)
        barred = torch.cat([~real.new_ones(texts, 1), ~real], 1)[:, None]
        itself = torch.eye(length, dtype=torch.bool, device=real.device)
        return scores.masked_fill(barred | functional.pad(itself, (1, 0)), -torch.inf)

    def _relation_scores(self, parts: tuple[Tensor, ...], real: Tensor, heads: Tensor) -> Tensor:
        """Scores of every word's relations to these heads ``(M,)``: ``(M, K)``."""
        texts, counts = len(real), real.sum(1)
        own = texts + torch.arange(len(heads), device=heads.device) - places(counts)  # the first word of the text
        place = torch.where(heads == 0, owners(counts), own + heads - 1)
        words, own_heads = _with_one(parts[2]), _with_one(parts[3])[place]
        labels, rank, _ = self.relations.shape
        read = functional.linear(words, self.relations.transpose(1, 2).reshape(labels * rank, rank))
        return torch.einsum("mkr,mr->mk", read.view(-1, labels, rank), own_heads) + self.relation_bias


def _with_one(values: Tensor) -> Tensor:
    """``(M, D) -> (M, D + 1)``: a one behind every vector, so that a product has linear terms too."""
    return functional.pad(values, (0, 1), value=1.0)
