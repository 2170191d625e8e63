"""The best tree against all trees, and against SciPy's independent view of what a tree is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order

from polytask.maths.trees import best_tree, is_tree


def reaches_all(heads):
    """Whether a walk from the root finds every word."""
    n = len(heads)
    graph = csr_matrix((np.ones(n), (np.asarray(heads), np.arange(1, n + 1))), shape=(n + 1, n + 1))
    return len(breadth_first_order(graph, 0, return_predecessors=False)) == n + 1


def trees(n):
    """Every tree of n words with one word below the root."""
    return [h for h in product(range(n + 1), repeat=n) if h.count(0) == 1 and reaches_all(h)]


TREES = {n: trees(n) for n in range(1, 6)}


def total(scores, heads):
    return sum(scores[h, d] for d, h in enumerate(heads, 1))


def test_there_are_as_many_trees_as_cayley_counted():
    assert [len(TREES[n]) for n in range(1, 6)] == [n ** (n - 1) for n in range(1, 6)]


@pytest.mark.parametrize("n", range(1, 6))
@pytest.mark.parametrize("kind", ["normal", "ties", "root", "huge", "forbidden"])
def test_no_tree_is_better(n, kind):
    rng = np.random.default_rng(n)
    candidates = np.array(TREES[n])
    words = np.arange(1, n + 1)
    for _ in range(60 if n < 5 else 40):
        scores = rng.normal(size=(n + 1, n + 1))
        if kind == "ties":
            scores = scores.round()
        elif kind == "root":
            scores[0] += 10  # every word wants to be the root's
        elif kind == "huge":
            scores *= 1e300
        elif kind == "forbidden":
            scores[1:, 1:][rng.random((n, n)) < 0.2] = -np.inf
        found = best_tree(scores)
        assert tuple(found) in set(TREES[n])
        best = scores[candidates, words].sum(1).max()
        assert total(scores, found) == best or total(scores, found) == pytest.approx(best, rel=1e-12)


def test_a_cycle_inside_a_cycle():
    # 1 and 2 love each other, the pair and 3 love each other, and so does 4 with all of them
    scores = np.full((5, 5), -100.0)
    scores[1, 2] = scores[2, 1] = 50
    scores[3, 1], scores[2, 3] = 40, 60
    scores[4, 3], scores[3, 4] = 45, 30
    scores[0, 1:] = [1, 2, 3, 4]
    by_hand = {heads: total(scores, heads) for heads in TREES[4]}
    assert tuple(best_tree(scores)) == max(by_hand, key=by_hand.get)


@pytest.mark.parametrize("n", [40, 200])
def test_long_sentences(n):
    rng = np.random.default_rng(n)
    heads = np.array([rng.integers(0, d) if d > 1 else 0 for d in range(1, n + 1)])  # a tree, by making
    heads[1:][heads[1:] == 0] = 1
    order = rng.permutation(n) + 1
    place = np.concatenate([[0], order])
    planted = np.zeros(n, dtype=np.int64)
    planted[order - 1] = place[heads]
    scores = rng.normal(size=(n + 1, n + 1))
    noise = scores.copy()
    scores[planted, np.arange(1, n + 1)] += 20
    assert best_tree(scores).tolist() == planted.tolist()
    found = best_tree(noise)
    assert reaches_all(found)
    assert np.count_nonzero(found == 0) == 1
    assert total(noise, found) >= total(noise, planted)


def test_scores_that_are_no_numbers_are_avoided():
    scores = np.full((4, 4), np.nan)
    scores[0, 2], scores[2, 1], scores[1, 3] = 1.0, 1.0, 1.0
    assert best_tree(scores).tolist() == [2, 0, 1]
    assert reaches_all(best_tree(np.full((4, 4), np.nan)))
    scores[0, 2] = np.inf
    assert best_tree(scores).tolist() == [2, 0, 1]


def test_the_smallest_sentences():
    assert best_tree(np.zeros((1, 1))).tolist() == []
    assert best_tree(np.zeros((2, 2))).tolist() == [0]


@pytest.mark.parametrize("n", range(1, 5))
def test_what_is_a_tree(n):
    for heads in product(range(n + 1), repeat=n):
        assert is_tree(np.array(heads)) == reaches_all(heads)
    assert not is_tree(np.array([n + 1] + [1] * (n - 1)))
    assert is_tree(np.array([], dtype=np.int64))
