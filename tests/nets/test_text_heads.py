"""Heads of texts against sums over everything that can be chosen."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from text_fakes import make_units, randomise, tags, word_targets
from torch.nn import functional

from polytask.maths.trees import is_tree
from polytask.nets.task_heads.biaffine import ARC, RELATION, BiaffineHead
from polytask.nets.task_heads.crf import CRFHead
from polytask.nets.units import Units
from polytask.tasks.tagging import Tagging, TaggingTarget

COUNTS = (3, 0, 1, 2)
NAN = math.nan


def chain_score(head: CRFHead, emissions: torch.Tensor, labels: tuple[int, ...]) -> torch.Tensor:
    total = head.first[labels[0]] + head.last[labels[-1]]
    for t, label in enumerate(labels):
        total = total + emissions[t, label]
    for one, two in itertools.pairwise(labels):
        total = total + head.transitions[one, two]
    return total


def text_of(units: Units, row: int) -> torch.Tensor:
    start = int(units.counts[:row].sum())
    return units.words[start : start + int(units.counts[row])]


def test_crf_is_a_sum_over_all_labellings() -> None:
    head = CRFHead(tags("t", 0.1, 0.2, 0.3, head="crf"), 4)
    randomise(head)
    units = make_units(COUNTS, 4)
    labels = torch.tensor([[0.0], [2.0], [-1.0], [1.0], [NAN], [NAN]])
    allowed = {0: [(0, 2, k) for k in range(3)], 2: [(1,)]}
    expected = torch.tensor(math.log(3))  # the label that was never seen
    for row, labellings in allowed.items():
        emissions = head.linear(text_of(units, row))
        every = itertools.product(range(3), repeat=len(emissions))
        whole = torch.stack([chain_score(head, emissions, y) for y in every]).logsumexp(0)
        own = torch.stack([chain_score(head, emissions, y) for y in labellings]).logsumexp(0)
        expected = expected + whole - own
    total, count = head.loss_sums(head(units), word_targets("t", labels, 4))
    torch.testing.assert_close(total, expected)
    assert count == 4
    decoded = head.answers(head(units))
    assert decoded.counts.tolist() == list(COUNTS)
    for row, found in enumerate(decoded.parts()):
        if COUNTS[row]:
            emissions = head.linear(text_of(units, row))
            every = list(itertools.product(range(3), repeat=COUNTS[row]))
            best = max(every, key=lambda y: float(chain_score(head, emissions, y).detach()))
            assert tuple(found[:, 0].tolist()) == best


def test_crf_decodes_what_is_legal() -> None:
    target = TaggingTarget(Tagging("t", scheme="BIO", crf=True), ("B-X", "I-X", "O"), (0.0, 0.0, 0.0))
    head = CRFHead(target, 2)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([0.0, 1.6, 1.0]))
    found = head.answers(head(make_units((3,), 2))).values[:, 0].tolist()
    assert found == [0.0, 1.0, 1.0]  # 0 + 1.6 + 1.6 of B I I beats O O O; I I I begins with an I
    assert set(head.state_dict()) == {"linear.weight", "linear.bias", "transitions", "first", "last"}


def test_first_loss_of_a_crf_is_that_of_the_best_constant() -> None:
    prior = torch.tensor([0.5, 0.3, 0.2])
    head = CRFHead(tags("t", *prior.log().tolist()), 4)
    labels = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.0, 1.0])[:, None]
    total, count = head.loss_sums(head(make_units(COUNTS, 4)), word_targets("t", labels, 4))
    torch.testing.assert_close(total, -prior.log()[labels[:, 0].long()].sum())
    assert count == 6


def slow_parser(head: BiaffineHead, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of arcs ``(n, n + 1)`` and relations ``(n, n + 1, K)`` one by one."""
    vectors = functional.leaky_relu(head.project(torch.cat([head.root[None], words])), 0.1)
    arc_word, arc_head, word, rel_head = vectors.split([ARC, ARC, RELATION, RELATION], -1)
    n, one = len(words), torch.ones(1)
    arcs = torch.full((n, n + 1), -torch.inf)
    relations = torch.zeros(n, n + 1, len(head.relations))
    for i, j in itertools.product(range(1, n + 1), range(n + 1)):
        if i != j:
            arcs[i - 1, j] = torch.cat([arc_word[i], one]) @ head.arcs @ arc_head[j]
        for k, table in enumerate(head.relations):
            relations[i - 1, j, k] = torch.cat([word[i], one]) @ table @ torch.cat([rel_head[j], one])
    return arcs, relations + head.relation_bias


def test_biaffine_is_arcs_and_relations_one_by_one() -> None:
    torch.manual_seed(0)
    head = BiaffineHead(tags("t", 0.1, -0.2, 0.3, width=2), 4).eval()
    randomise(head, 0.2)
    units = make_units(COUNTS, 4)
    labels = torch.tensor([[2.0, 1.0], [0.0, 2.0], [2.0, -1.0], [0.0, 0.0], [NAN, NAN], [NAN, NAN]])
    expected = torch.tensor(0.0)
    for row, start in ((0, 0), (2, 3)):
        arcs, relations = slow_parser(head, text_of(units, row))
        for i in range(len(arcs)):
            place, relation = (int(v) for v in labels[start + i])
            expected = expected - arcs[i].log_softmax(0)[place]
            unseen = relation < 0
            expected = expected + (math.log(3) if unseen else -relations[i, place].log_softmax(0)[relation])
    total, count = head.loss_sums(head(units), word_targets("t", labels, 4))
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-4)
    assert count == 4
    decoded = head.answers(head(units))
    assert decoded.counts.tolist() == list(COUNTS)
    for row, found in enumerate(decoded.parts()):
        heads = found[:, 0].long()
        assert is_tree(heads.numpy())
        assert (heads == 0).sum() == (1 if COUNTS[row] else 0)
        if COUNTS[row]:
            arcs, relations = slow_parser(head, text_of(units, row))
            every = itertools.product(range(COUNTS[row] + 1), repeat=COUNTS[row])
            trees = [t for t in every if t.count(0) == 1 and is_tree(torch.tensor(t).numpy())]
            logs = arcs.log_softmax(1)
            best = max(trees, key=lambda t: sum(float(logs[i, j].detach()) for i, j in enumerate(t)))
            assert tuple(heads.tolist()) == best
            own = [int(relations[i, j].argmax()) for i, j in enumerate(best)]
            assert found[:, 1].tolist() == own


def test_first_loss_of_a_parser_is_chance() -> None:
    prior = torch.tensor([0.6, 0.4])
    head = BiaffineHead(tags("t", *prior.log().tolist(), width=2), 4)
    labels = torch.tensor([[2.0, 1.0], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    total, count = head.loss_sums(head(make_units(COUNTS, 4)), word_targets("t", labels, 4))
    expected = 3 * math.log(3) + math.log(1) + 2 * math.log(2) - float(prior.log()[labels[:, 1].long()].sum())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    assert count == 6


def test_impossible_heads_are_no_labels() -> None:
    head = BiaffineHead(tags("t", 0.0, 0.0, width=2), 4)
    labels = torch.tensor([[9.0, 0.0], [2.0, 0.0], [0.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [1.0, 1.0]])
    total, count = head.loss_sums(head(make_units(COUNTS, 4)), word_targets("t", labels, 4))
    assert count == 3
    assert total.isfinite()


WORD_HEADS = {
    "crf": lambda: CRFHead(tags("t", 0.1, 0.2), 4),
    "biaffine": lambda: BiaffineHead(tags("t", 0.1, 0.2, width=2), 4),
}


@pytest.mark.parametrize("name", list(WORD_HEADS))
@pytest.mark.parametrize("counts", [(), (0,), (0, 0), (1,), (1, 0), (4, 2, 0)])
def test_any_texts_and_labels_have_finite_losses_and_gradients(name: str, counts: tuple[int, ...]) -> None:
    head = WORD_HEADS[name]()
    randomise(head, 0.3)
    width = 2 if isinstance(head, BiaffineHead) else 1
    units = make_units(counts, 4)
    words = units.words.requires_grad_()
    none = torch.full((sum(counts), width), NAN)
    total, count = head.loss_sums(head(Units(units.rows, words, units.counts)), word_targets("t", none, len(counts)))
    assert (float(total.detach()), float(count)) == (0.0, 0.0)
    some = none.clone()
    some[:1] = 0.0
    total, count = head.loss_sums(head(Units(units.rows, words, units.counts)), word_targets("t", some, len(counts)))
    assert float(count) == min(1, sum(counts))
    if sum(counts):
        total.backward()
        assert words.grad is not None
        assert words.grad.isfinite().all()
        assert not words.grad[counts[0] :].any()  # texts without labels are not heard of
        assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())
    answers = head.eval().answers(head(units))
    assert answers.values.shape == (sum(counts), width)
    assert answers.counts.tolist() == list(counts)
