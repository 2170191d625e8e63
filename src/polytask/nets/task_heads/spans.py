"""Labelled spans, which may be nested: every span of a few words is classified."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Ragged, Targets
from polytask.errors import TaskError
from polytask.nets.task_heads.head import TaskHead
from polytask.nets.task_heads.labelled import of_texts, owners, places
from polytask.nets.units import Units
from polytask.tasks.span_labelling import SpanLabellingTarget
from polytask.tasks.task import Target

HIDDEN = 128
DROPOUT = 0.2


class SpanHead(TaskHead):
    r"""A small network on the first word, the last word and the length of every span of up to W words.

    .. math:: y_{ij} = C \, \mathrm{relu}(A h_i + B h_j + e_{j - i} + a) + c

    C starts at zero and c at the log shares of the classes among all spans, class 0 being no span: the first loss is
    that of the best constant predictor. The loss is summed over spans and counted in words. Answers are the spans whose
    most likely class is not 0, likelier ones first, less those that cross one that is taken; nested ones stay.

    Sohrab and Miwa. Deep exhaustive model for nested named entity recognition. EMNLP 2018.

    :param width: D.
    """

    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        if not isinstance(target, SpanLabellingTarget):
            raise TaskError("spans are what 'span_labelling' alone is about.", where=f"task {target.task.name!r}")
        self.task, self.longest = target.task.name, target.longest
        self.first = nn.Linear(width, HIDDEN)
        self.last = nn.Linear(width, HIDDEN, bias=False)
        self.length = nn.Embedding(self.longest, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = nn.Linear(HIDDEN, target.outputs)
        nn.init.zeros_(self.classes.weight)
        with torch.no_grad():
            self.classes.bias.copy_(target.bias())

    def forward(self, units: Units) -> Units:
        """The vectors as they are: which of them have labels is known when the loss is taken."""
        return units

    def loss_sums(self, outputs: Units, targets: Targets) -> tuple[Tensor, Tensor]:
        """Cross-entropy of all spans of labelled texts, and their words.

        Longer spans than W are left out; a negative label was never seen in training: it costs a constant.
        """
        labels = targets.lists[self.task]
        texts = labels.present
        if not (texts & (outputs.counts > 0)).any():
            return outputs.words.new_zeros(()), outputs.words.new_zeros(())
        units = outputs if texts.all() else of_texts(outputs, texts)
        spans = Spans.of(units.counts, self.longest)
        codes = spans.coded(labels[texts], units.counts)
        with torch.autocast(units.words.device.type, enabled=False):
            logits = self._logits(units.words, spans)
            loss = functional.cross_entropy(logits, codes, reduction="sum", ignore_index=-1)
        constant = (codes < 0).sum() * math.log(logits.shape[-1])
        return loss + constant, units.counts.sum().to(loss.dtype)

    @torch.no_grad()
    def answers(self, outputs: Units) -> Ragged:
        """The spans of every text: start, end and class, ``(K, 3)``, in the order of their places."""
        spans = Spans.of(outputs.counts, self.longest)
        scores, codes = self._logits(outputs.words, spans).log_softmax(-1).max(-1)
        found = codes > 0
        rows, parts = owners(outputs.counts)[spans.first[found]].tolist(), spans.places(outputs.counts)[found].tolist()
        taken: list[list[tuple[int, int, int]]] = [[] for _ in outputs.counts.tolist()]
        likeliest = sorted(zip(scores[found].tolist(), rows, parts, codes[found].tolist(), strict=True), reverse=True)
        for _, row, (start, end), code in likeliest:
            if not any(_cross(start, end, other[0], other[1]) for other in taken[row]):
                taken[row].append((start, end, code))
        values = torch.tensor([span for row in taken for span in sorted(row)], dtype=torch.float32).reshape(-1, 3)
        counts = torch.tensor([len(row) for row in taken], dtype=torch.int64)
        return Ragged(values, counts).to(outputs.counts.device)

    def _logits(self, words: Tensor, spans: Spans) -> Tensor:
        """``(S, K)``."""
        words = self.dropout(words.to(self.classes.weight.dtype))
        hidden = self.first(words)[spans.first] + self.last(words)[spans.last] + self.length(spans.last - spans.first)
        scores: Tensor = self.classes(self.dropout(torch.relu(hidden)))
        return scores


@dataclass(frozen=True)
class Spans:
    """All spans of up to W words of some texts.

    :param first, last: ``(S,)`` places of their words among those of all texts.
    :param index: ``(M, W)`` the span that begins at a word with a length (less 1); -1 where it would leave its text.
    """

    first: Tensor
    last: Tensor
    index: Tensor

    @classmethod
    def of(cls, counts: Tensor, longest: int) -> Spans:
        """Those of texts with these numbers of words."""
        left = torch.repeat_interleave(counts, counts) - places(counts)  # words from here to the end of the text
        fits = torch.arange(longest, device=counts.device) < left[:, None]
        first, more = fits.nonzero(as_tuple=True)
        index = torch.full(fits.shape, -1, dtype=torch.int64, device=counts.device)
        index[fits] = torch.arange(len(first), device=counts.device)
        return cls(first, first + more, index)

    def places(self, counts: Tensor) -> Tensor:
        """Start and end of every span in its text, the end exclusive: ``(S, 2)``."""
        start = places(counts)[self.first]
        return torch.stack([start, start + self.last - self.first + 1], 1)

    def coded(self, labels: Ragged, counts: Tensor) -> Tensor:
        """The class of every span, ``(S,)``: 0 where it has none, -1 where it was never seen in training."""
        start, end, code = labels.values.long().unbind(1)
        begin = torch.repeat_interleave(counts.cumsum(0) - counts, labels.counts)  # the first word of the label's text
        short = end - start <= self.index.shape[1]
        codes = torch.zeros(len(self.first), dtype=torch.int64, device=counts.device)
        codes[self.index[(begin + start)[short], (end - start - 1)[short]]] = code[short].clamp(min=-1)
        return codes


def _cross(start: int, end: int, other_start: int, other_end: int) -> bool:
    """Whether two spans share words and neither holds the other."""
    return start < other_start < end < other_end or other_start < start < other_end < end
