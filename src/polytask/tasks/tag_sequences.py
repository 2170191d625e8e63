"""Tags of many sentences as arrays, and the best legal tags for given logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from polytask.maths.linear_chain import Chain, viterbi
from polytask.tasks.schemes import OUTSIDE, PREFIXES, Scheme, legal_steps, parsed, read_spans, write_spans
from polytask.tasks.task import Array

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FORBIDDEN = -1e9
"""What an illegal step costs; finite, so that a sentence without a legal tagging gets the one of fewest violations."""
_AT_ONCE = 512


@dataclass(frozen=True)
class TagSequences:
    """The tags of M words of n sentences.

    :param prefix: ``(M,)`` places in :data:`polytask.tasks.schemes.PREFIXES`.
    :param kind: ``(M,)`` places of types in ``kinds``; -1 outside of spans.
    :param kinds: the known types, and behind them those that were not known.
    :param missing: ``(M,)`` words without a label. :param strange: ``(M,)`` labels that are no tags. Both are outside.
    :param counts: ``(n,)`` words of each sentence.
    """

    prefix: Ints
    kind: Ints
    kinds: tuple[str, ...]
    missing: Bools
    strange: Bools
    counts: Ints

    @staticmethod
    def of(values: pl.Series, counts: Ints, known: tuple[str, ...]) -> TagSequences:
        """Tags as text, null where a word has none.

        :param values: ``(M,)``. :param known: the types of the training rows.
        """
        different = values.drop_nulls().unique(maintain_order=True).to_list()
        found = [parsed(tag) for tag in different]
        new = sorted({part[1] for part in found if part and part[0] != OUTSIDE} - set(known))
        kinds = (*known, *new)
        place = {kind: i for i, kind in enumerate(kinds)}
        index = values.replace_strict(
            pl.Series(different, dtype=pl.String), pl.Series(range(len(different)), dtype=pl.Int64), default=None
        )
        codes = index.fill_null(len(different)).to_numpy()  # the last one is for missing tags
        prefixes = np.array([*(part[0] if part else OUTSIDE for part in found), OUTSIDE])
        types = np.array([*(place[part[1]] if part and part[0] != OUTSIDE else -1 for part in found), -1])
        strange = np.array([*(part is None for part in found), False])
        missing = np.array([*(False for _ in found), True])
        return TagSequences(prefixes[codes], types[codes], kinds, missing[codes], strange[codes], counts)

    def repaired(self, scheme: str) -> Ints:
        """Prefixes that mean the spans that conlleval reads, in the scheme: ``(M,)``. Legal tags stay as they are."""
        first = firsts(self.counts, len(self.prefix))
        return write_spans(read_spans(self.prefix, self.kind, first), len(self.prefix), scheme, first)


@dataclass(frozen=True)
class TagSet:
    """The tags that a task knows.

    A tag that it does not know has the code -1 - (prefix (K + 1) + type), where type K is any of those that it does not
    know: what begins and what goes on is kept, so that spans of unknown types can be counted as missed.

    :param classes: the C tags.
    """

    classes: tuple[str, ...]
    scheme: Scheme

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The K types of spans, in sort order; none without a scheme."""
        return tuple(sorted({kind for prefix, kind in self._pairs if prefix != OUTSIDE}))

    @cached_property
    def prefix(self) -> Ints:
        """``(C,)``: the prefix of every tag."""
        return np.array([prefix for prefix, _ in self._pairs], dtype=np.int64)

    @cached_property
    def kind(self) -> Ints:
        """``(C,)``: the place of every tag's type in ``kinds``; -1 outside of spans."""
        place = {kind: i for i, kind in enumerate(self.kinds)}
        return np.array([place[kind] if prefix != OUTSIDE else -1 for prefix, kind in self._pairs], dtype=np.int64)

    @cached_property
    def legal(self) -> tuple[Bools, Bools, Bools]:
        """Which tag may follow which ``(C, C)``, which may come first ``(C,)``, and which last ``(C,)``."""
        return legal_steps(self.prefix, self.kind, self.scheme)

    def codes(self, values: pl.Series, counts: Ints) -> NDArray[np.float32]:
        """Places of tags ``(M,)`` after the repair, NaN where missing."""
        tags = TagSequences.of(values, counts, self.kinds)
        size = len(self.kinds) + 1
        prefix, kind = tags.repaired(self.scheme), np.clip(tags.kind, 0, len(self.kinds))
        table = -1.0 - np.arange(len(PREFIXES) * size, dtype=np.float32)
        table[self.prefix * size + np.maximum(self.kind, 0)] = np.arange(len(self.classes))
        codes: NDArray[np.float32] = table[prefix * size + kind]
        codes[tags.strange], codes[tags.missing] = -1.0, np.nan
        return codes

    def parts(self, codes: Array) -> Array:
        """Codes ``(M,)`` with prefixes and types: ``(M, 3)``; words without a label are outside of spans."""
        whole = np.nan_to_num(codes, nan=-1.0).astype(np.int64)
        seen, place = whole >= 0, np.maximum(whole, 0)
        new_prefix, new_kind = np.divmod(np.maximum(-1 - whole, 0), len(self.kinds) + 1)
        prefix = np.where(seen, self.prefix[place], new_prefix)
        kind = np.where(seen, self.kind[place], new_kind)
        return np.stack([codes, prefix, np.where(prefix == OUTSIDE, -1, kind)], 1)

    @property
    def _pairs(self) -> list[tuple[int, str]]:
        spans = self.scheme != "none"
        return [(spans and parsed(tag)) or (OUTSIDE, "") for tag in self.classes]


def firsts(counts: Ints, words: int) -> Bools:
    """``(M,)``: whether a word is the first one of its sentence."""
    first = np.zeros(words, dtype=np.bool_)
    first[(counts.cumsum() - counts)[counts > 0]] = True
    return first


def best_legal(logits: Array, counts: Ints, legal: tuple[Bools, Bools, Bools]) -> Ints:
    """Codes ``(M,)`` of the highest sum of logits among legal sequences.

    Where the best tag of every word makes a legal sequence, it is the answer; the others are searched (Viterbi).

    :param logits: ``(M, K)``. :param counts: ``(n,)``.
    :param legal: which code may follow which ``(K, K)``, come first and come last ``(K,)``.
    """
    codes: Ints = logits.argmax(1)
    steps, start, end = legal
    if steps.all() and start.all() and end.all():
        return codes
    first = firsts(counts, len(codes))
    wrong = np.zeros(len(codes), dtype=np.bool_)
    wrong[1:] = ~steps[codes[:-1], codes[1:]] & ~first[1:]
    last = np.concatenate([first[1:], [True]]) if len(first) else first
    wrong |= (first & ~start[codes]) | (last & ~end[codes])
    owner = np.repeat(np.arange(len(counts)), counts)
    sentences = np.unique(owner[wrong])
    offsets = counts.cumsum() - counts
    cost = Chain(*(torch.from_numpy(np.where(allowed, 0.0, FORBIDDEN)) for allowed in legal))
    by_length = sentences[np.argsort(counts[sentences], kind="stable")]
    for chosen in np.array_split(by_length, list(range(_AT_ONCE, len(by_length), _AT_ONCE))):
        real = np.arange(counts[chosen].max(initial=0)) < counts[chosen][:, None]
        words = (offsets[chosen][:, None] + np.arange(real.shape[1]))[real]
        padded = torch.zeros(*real.shape, logits.shape[1], dtype=torch.float64)
        mask = torch.from_numpy(real)
        padded[mask] = torch.from_numpy(logits[words]).double()
        codes[words] = viterbi(padded, mask, cost)[mask].numpy()
    return codes
