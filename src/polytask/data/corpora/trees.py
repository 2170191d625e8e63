"""Whether heads make trees."""

from __future__ import annotations

import numpy as np

from polytask.tokens.ragged import Ints, offsets_of


def no_tree(heads: Ints, counts: Ints) -> Ints:
    """The sentences in which some word does not lead to the root.

    Every word points to its head; after as many doublings of the way as the longest sentence needs, all words of a tree
    have arrived at the root, and those of a cycle never do.

    :param heads: ``(M,)`` heads of the words of all sentences: 0 for the root, else 1 to the number of words.
    :param counts: ``(n,)`` words of each sentence.

    >>> no_tree(np.array([2, 0, 2, 2, 1, 9]), np.array([3, 2, 1])).tolist()
    [1, 2]
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    outside = (heads < 0) | (heads > counts[owner])
    root = len(heads)
    way = np.append(np.where(heads == 0, root, offsets_of(counts)[owner] + heads - 1), root)
    way[:-1][outside] = np.flatnonzero(outside)
    for _ in range(int(counts.max(initial=1)).bit_length()):
        way = way[way]
    return np.unique(owner[way[:-1] != root])
