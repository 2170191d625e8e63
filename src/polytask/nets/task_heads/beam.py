"""Beam search: the likeliest token sequence among those that are followed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor, int], Tensor]
"""``step(tokens (R,), origin (R,), place) -> (R, K)`` log-probabilities of what follows.

``tokens`` are the last of R sequences, ``origin`` says which of the sequences of the step before they continue, and
``place`` how many tokens came before them.
"""


def beam_search(
    step: Step, rows: int, beam: int, longest: int, marks: tuple[int, int, int], *, device: torch.device | None = None
) -> Tensor:
    """The best sequence of every row, without its first mark, padded behind its end: ``(rows, T)`` int64.

    Sequences are compared by their mean log-probability per token (Wu et al., Google's neural machine translation
    system, 2016, with α = 1). A beam of 1 is greedy.

    :param longest: tokens after which a sequence is cut.
    :param marks: codes of padding, of what comes first, and of the end.
    """
    pad, first, end = marks
    place = torch.arange(rows, device=device)[:, None] * beam
    tokens = torch.full((rows, beam), first, device=device)
    score = torch.zeros(rows, beam, device=device)
    score[:, 1:] = -torch.inf  # all sequences of a row begin alike
    length, ended = torch.zeros_like(score), torch.zeros_like(score, dtype=torch.bool)
    found, origin = tokens[..., None][..., :0], place + torch.arange(beam, device=device)
    for t in range(longest):
        logs = step(tokens.flatten(), origin.flatten(), t).view(rows, beam, -1)
        logs[..., [pad, first]] = -torch.inf
        logs = torch.where(ended[..., None], -torch.inf, logs)
        logs[..., pad] = torch.where(ended, 0.0, -torch.inf)  # a sequence that has ended stays as it is
        size = logs.shape[-1]
        total = score[..., None] + logs
        mean = total / (length + (~ended).float()).clamp(min=1)[..., None]
        _, chosen = mean.flatten(1).topk(beam, 1)
        parent, tokens = chosen // size, chosen % size
        score = total.flatten(1).gather(1, chosen)
        length, ended = length.gather(1, parent) + (~ended.gather(1, parent)), ended.gather(1, parent) | (tokens == end)
        found = torch.cat([found.take_along_dim(parent[..., None], 1), tokens[..., None]], -1)
        origin = place + parent
        if ended.all():
            break
    best = (score / length.clamp(min=1)).argmax(1)
    return found[torch.arange(rows, device=device), best]
