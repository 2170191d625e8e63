"""The best dependency tree: Chu and Liu's and Edmonds' maximum spanning arborescence with one root."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Heads = NDArray[np.int64]


def best_tree(scores: Array) -> Heads:
    """The heads ``(n,)`` of the tree of n words that has the highest sum of scores, and one word below the root.

    Words are 1 to n, the root is 0. Greedy heads are taken where they are such a tree; otherwise cycles are contracted
    in the dense manner, in O(n^2) operations of numpy on at most n + 1 vectors. That exactly one word hangs from the
    root is made sure of by a constant that is taken off its edges, larger than any two trees can differ (Stanojević
    and Cohen, A root of a problem: Optimizing single-root dependency parsing, EMNLP 2021).

    :param scores: ``(n + 1, n + 1)``, of the edge from head h (row) to word d (column). The diagonal and column 0 are
        not read. -inf and NaN: edges to take only where there is no other way; inf counts as the highest finite score.

    >>> best_tree(np.array([[0, 5, 4], [0, 0, 3], [0, 3, 0]]))
    array([0, 1])

    Chu and Liu, On the shortest arborescence of a directed graph, Scientia Sinica 1965. Edmonds, Optimum branchings,
    J. Research NBS 1967. McDonald, Pereira, Ribarov and Hajič, Non-projective dependency parsing using spanning tree
    algorithms, HLT-EMNLP 2005.
    """
    weights = _prepared(scores)
    heads: Heads = weights.argmax(0)
    heads[0] = 0
    if np.count_nonzero(heads[1:] == 0) == 1 and _acyclic(heads):
        return heads[1:]
    weights[0] -= 16.0 * len(weights) ** 2
    return _contracted(weights)


def is_tree(heads: Heads) -> bool:
    """Whether heads ``(n,)`` in 0 to n of words 1 to n form one tree below the root; several may hang from the root."""
    return bool(((heads >= 0) & (heads <= len(heads))).all()) and _acyclic(np.concatenate([[0], heads]))


def _acyclic(heads: Heads) -> bool:
    """Whether all words reach 0: after k doublings every pointer has gone 2^k steps up."""
    for _ in range(len(heads).bit_length()):
        heads = heads[heads]
    return not heads.any()


def _prepared(scores: Array) -> Array:
    """Scores in [-1, 0], so that constants of the size of n are large; edges that must not be are -inf."""
    weights = np.array(scores, dtype=np.float64)
    edges = ~np.eye(len(weights), dtype=np.bool_)
    edges[:, 0] = False
    finite = edges & np.isfinite(weights)
    low, high = (weights[finite].min(), weights[finite].max()) if finite.any() else (0.0, 0.0)
    half = high / 2 - low / 2  # the difference itself may overflow
    weights = (weights / 2 - high / 2) / (half or 1.0)
    weights[~finite] = np.where(np.isposinf(weights[~finite]), 0.0, -4.0 * len(weights))
    weights[~edges] = -np.inf
    return weights


def _contracted(weights: Array) -> Heads:
    """The best arborescence from node 0, grown as one path backwards: a path that meets itself is contracted.

    Nodes n + 1, n + 2, ... are contracted cycles. ``edge[v]`` is the word edge (head, word) that enters node v, and
    ``within[v]`` the cycle that v was contracted into.
    """
    n = len(weights) - 1
    size = 2 * n + 1
    w = np.full((size, size), -np.inf)
    w[: n + 1, : n + 1] = weights
    head, word = (np.zeros((size, size), dtype=np.int64) for _ in range(2))  # the word edge behind a node edge
    head[: n + 1, : n + 1] = np.arange(n + 1)[:, None]
    word[: n + 1, : n + 1] = np.arange(n + 1)
    within, worth = np.full(size, -1), np.zeros(size)
    edge = np.zeros((size, 2), dtype=np.int64)
    settled = np.zeros(size, dtype=np.bool_)
    settled[0] = True
    made = n + 1
    for start in range(1, n + 1):
        node = start
        while within[node] >= 0:
            node = int(within[node])
        path: list[int] = []
        while not settled[node]:
            path.append(node)
            source = int(w[:, node].argmax())
            worth[node] = w[source, node]
            edge[node] = head[source, node], word[source, node]
            node = source
            if node in path:
                cycle = np.array(path[path.index(node) :])
                path = path[: path.index(node)]
                _merge((w, head, word), cycle, worth[cycle], made)
                within[cycle] = made
                node, made = made, made + 1
        settled[path] = True
    return _expanded(edge, within, made, n)


def _merge(graph: tuple[Array, Heads, Heads], cycle: Heads, worth: Array, new: int) -> None:
    """Contract a cycle into node ``new``: entering it at v replaces the cycle's own edge into v, of this worth."""
    w, head, word = graph
    gains = w[:, cycle] - worth
    entry = gains.argmax(1)
    rows = np.arange(len(w))
    w[:, new] = gains[rows, entry]
    head[:, new], word[:, new] = head[rows, cycle[entry]], word[rows, cycle[entry]]
    leave = w[cycle].argmax(0)
    w[new] = w[cycle[leave], rows]
    head[new], word[new] = head[cycle[leave], rows], word[cycle[leave], rows]
    w[cycle], w[:, cycle] = -np.inf, -np.inf
    w[new, new] = -np.inf


def _expanded(edge: Heads, within: Heads, made: int, n: int) -> Heads:
    """The heads of words: the edge that enters a cycle enters the node of it that holds the edge's word."""
    for cycle in range(made - 1, n, -1):
        node = int(edge[cycle, 1])
        while within[node] != cycle:
            node = int(within[node])
        edge[node] = edge[cycle]
    return edge[1 : n + 1, 0]
