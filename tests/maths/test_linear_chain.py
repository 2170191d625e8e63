"""Partition functions, scores and best paths of label sequences against all labellings, one by one."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch

from polytask.maths.linear_chain import Chain, log_partition, sequence_score, viterbi

LENGTHS = [4, 1, 0, 3, 2, 4]


def problem(K, seed, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    N, L = len(LENGTHS), max(LENGTHS)
    mask = torch.arange(L) < torch.tensor(LENGTHS)[:, None]
    emissions = 2 * torch.randn(N, L, K, generator=rng, dtype=dtype)
    transitions = torch.randn(K, K, generator=rng, dtype=dtype)
    start, end = torch.randn(2, K, generator=rng, dtype=dtype)
    return emissions, mask, Chain(transitions, start, end)


def by_hand(labels, emissions, chain):
    if not labels:
        return 0.0
    total = float(chain.start[labels[0]] + chain.end[labels[-1]])
    total += sum(float(emissions[t, k]) for t, k in enumerate(labels))
    return total + sum(float(chain.transitions[a, b]) for a, b in pairwise(labels))


def all_scores(n, problem):
    emissions, _, chain = problem
    K = emissions.shape[2]
    return {labels: by_hand(labels, emissions[n], chain) for labels in product(range(K), repeat=LENGTHS[n])}


@pytest.mark.parametrize("K", [1, 2, 3, 5])
def test_partition_and_best_path_are_those_of_all_labellings(K):
    given = problem(K, K)
    totals, best = log_partition(*given), viterbi(*given)
    for n, length in enumerate(LENGTHS):
        scores = all_scores(n, given)
        assert float(totals[n]) == pytest.approx(float(torch.tensor(list(scores.values())).double().logsumexp(0)))
        assert tuple(best[n, :length].tolist()) == max(scores, key=scores.get)
        assert best[n, length:].tolist() == [0] * (4 - length)


@pytest.mark.parametrize("K", [1, 3])
def test_scores_of_labels(K):
    given = problem(K, 7)
    labels = torch.randint(0, K, (len(LENGTHS), 4), generator=torch.Generator().manual_seed(1))
    found = sequence_score(labels, *given)
    for n, length in enumerate(LENGTHS):
        expected = by_hand(labels[n, :length].tolist(), given[0][n], given[2])
        assert float(found[n]) == pytest.approx(expected, abs=1e-12)


def test_probabilities_of_labellings_sum_to_one():
    given = problem(3, 11)
    total = sum(
        torch.exp(sequence_score(torch.tensor(labels).expand(len(LENGTHS), 4), *given) - log_partition(*given))
        for labels in product(range(3), repeat=4)
    )
    torch.testing.assert_close(total[[0, 5]], torch.ones(2, dtype=torch.float64))  # the rows of full length


def test_the_gradient_is_the_marginal_probability():
    emissions, mask, chain = problem(3, 5)
    emissions.requires_grad_()
    log_partition(emissions, mask, chain).sum().backward()
    torch.testing.assert_close(emissions.grad.sum(2), mask.double())
    scores = all_scores(0, (emissions.detach(), mask, chain))
    weights = torch.softmax(torch.tensor(list(scores.values())), 0)
    chosen = torch.tensor([labels[2] == 1 for labels in scores])
    assert float(emissions.grad[0, 2, 1]) == pytest.approx(float(weights[chosen].sum()))


def test_gradients_agree_with_differences():
    emissions, mask, chain = problem(2, 3)
    given = [t.clone().requires_grad_() for t in (emissions, chain.transitions, chain.start, chain.end)]
    labels = torch.zeros(len(LENGTHS), 4, dtype=torch.int64)

    def loss(e, a, s, b):
        return log_partition(e, mask, Chain(a, s, b)) - sequence_score(labels, e, mask, Chain(a, s, b))

    assert torch.autograd.gradcheck(loss, given)


def test_forbidden_steps_are_never_taken():
    emissions, mask, chain = problem(3, 9)
    chain.transitions[0, 1] = chain.transitions[2, 2] = chain.start[1] = -torch.inf
    for row, length in zip(viterbi(emissions, mask, chain).tolist(), LENGTHS, strict=True):
        steps = list(pairwise(row[:length]))
        assert (0, 1) not in steps
        assert (2, 2) not in steps
        assert length == 0 or row[0] != 1


def test_labels_known_in_part_are_a_difference_of_partitions():
    given = problem(3, 13)
    allowed = torch.ones_like(given[0], dtype=torch.bool)
    allowed[0, 1] = torch.tensor([True, False, True])
    emissions = given[0].clone().requires_grad_()
    inside = log_partition(emissions.masked_fill(~allowed, -torch.inf), *given[1:])
    scores = all_scores(0, given)
    kept = torch.tensor([score for labels, score in scores.items() if labels[1] != 1])
    assert float(inside[0].detach()) == pytest.approx(float(kept.double().logsumexp(0)))
    inside.sum().backward()
    assert emissions.grad.isfinite().all()
    assert float(emissions.grad[0, 1, 1]) == 0.0


@pytest.mark.parametrize("scale", [1e-6, 1e4, 1e30])
def test_huge_scores_stay_finite_in_single_precision(scale):
    emissions, mask, chain = problem(4, 2, torch.float32)
    found = log_partition(scale * emissions, mask, chain)
    assert found.isfinite().all()


def test_nothing_to_label():
    for n, length in ((0, 3), (2, 0)):
        mask = torch.zeros(n, length, dtype=torch.bool)
        given = (torch.zeros(n, length, 2), mask, Chain(torch.zeros(2, 2), torch.zeros(2), torch.zeros(2)))
        assert viterbi(*given).shape == (n, length)
        assert log_partition(*given).tolist() == [0.0] * n
        assert sequence_score(torch.zeros(n, length, dtype=torch.int64), *given).tolist() == [0.0] * n
