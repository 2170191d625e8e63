"""Heads whose answers are lists: spans and texts."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from text_fakes import list_targets, make_units, randomise, tags
from torch.nn import functional

from polytask.errors import TaskError
from polytask.nets import task_heads
from polytask.nets.task_heads import TASK_HEADS, task_head
from polytask.nets.task_heads.beam import beam_search
from polytask.nets.task_heads.decoder import DecoderHead
from polytask.nets.task_heads.spans import SpanHead, Spans
from polytask.nets.units import Units
from polytask.tasks.generation import BOS, EOS, PAD, Generation, GenerationTarget
from polytask.tasks.span_labelling import SpanLabelling, SpanLabellingTarget

COUNTS = (3, 0, 1, 4)
PRIOR = torch.tensor([0.7, 0.2, 0.1])
SPANS = SpanLabellingTarget(SpanLabelling("t"), ("x", "y"), tuple(PRIOR.log().tolist()), 2, 1.0)
TOKENS = torch.tensor([1e-4, 1e-4, 0.3, 0.4, 0.2, 0.0998])
TEXTS = GenerationTarget(Generation("t"), "", tuple(TOKENS.log().tolist()), 5)


def test_every_short_span_is_listed() -> None:
    spans = Spans.of(torch.tensor(COUNTS), 2)
    found = list(zip(spans.first.tolist(), spans.last.tolist(), strict=True))
    texts = [range(3), range(0), range(3, 4), range(4, 8)]
    assert found == [(i, j) for words in texts for i in words for j in words if 0 <= j - i < 2]
    assert spans.places(torch.tensor(COUNTS)).tolist()[:2] == [[0, 1], [0, 2]]
    assert spans.places(torch.tensor(COUNTS)).tolist()[-1] == [3, 4]


def test_the_loss_of_spans_is_a_sum_over_all_of_them() -> None:
    head = SpanHead(SPANS, 4).eval()
    randomise(head)
    units = make_units(COUNTS, 4)
    labels = [[[0, 2, 1], [1, 2, 2], [0, 3, 1]], [], None, [[2, 4, -1], [3, 4, 2]]]
    gold = {(0, 0, 2): 1, (0, 1, 2): 2, (3, 2, 4): None, (3, 3, 4): 2}  # the span of three words is too long
    expected, spans, starts = torch.tensor(0.0), 0, (0, 3, 3, 4)
    for row in (0, 1, 3):
        for i, j in itertools.product(range(COUNTS[row]), range(1, COUNTS[row] + 1)):
            if not 1 <= j - i <= 2:
                continue
            first, last = units.words[starts[row] + i], units.words[starts[row] + j - 1]
            hidden = head.first(first) + last @ head.last.weight.T + head.length.weight[j - i - 1]
            logits = head.classes(hidden.clamp(min=0))
            code = gold.get((row, i, j), 0)
            expected = expected + (math.log(3) if code is None else -logits.log_softmax(-1)[code])
            spans += 1
    total, count = head.loss_sums(head(units), list_targets("t", labels, 3))
    assert spans == 5 + 7
    torch.testing.assert_close(total, expected)
    assert count == 7  # words of the texts that somebody looked at


def test_nested_spans_stay_and_crossing_ones_go() -> None:
    head = SpanHead(SpanLabellingTarget(SpanLabelling("t"), ("x",), (0.0, 0.0), 3, 1.0), 2)
    scores = {(0, 3): 5.0, (1, 2): 4.0, (2, 4): 3.0, (3, 4): 2.0, (4, 6): 6.0, (5, 7): 6.5}

    def logits(words: torch.Tensor, spans: Spans) -> torch.Tensor:
        places = [tuple(place) for place in spans.places(torch.tensor([7])).tolist()]
        return torch.tensor([[0.0, scores.get(place, -1.0)] for place in places])

    head._logits = logits  # type: ignore[method-assign]
    found = head.answers(make_units((7,), 2))
    assert found.values.tolist() == [[0, 3, 1], [1, 2, 1], [3, 4, 1], [5, 7, 1]]


def test_first_loss_of_spans_is_that_of_the_best_constant() -> None:
    head = SpanHead(SPANS, 4)
    labels = [[[0, 2, 1], [1, 2, 2]], [], [], [[3, 4, 2]]]
    total, count = head.loss_sums(head(make_units(COUNTS, 4)), list_targets("t", labels, 3))
    none, x, y = (-PRIOR.log()).tolist()
    assert float(total.detach()) == pytest.approx(10 * none + x + 2 * y, rel=1e-5)
    assert count == 8


def slow_decoder(head: DecoderHead, memory: torch.Tensor, codes: list[int]) -> torch.Tensor:
    """Logits behind each of the codes of one text, by torch's own attention."""
    width = head.tokens.embedding_dim
    values = head._embedded(torch.tensor([codes]), 0)
    read = head.read(memory)[None]
    for layer in head.layers:
        for norm, merge, is_own in (
            (layer.own_norm, layer.own_merge, True),
            (layer.cross_norm, layer.cross_merge, False),
        ):
            normed = norm(values)
            if is_own:
                weight, bias = layer.own.weight, layer.own.bias
            else:
                weight = torch.cat([layer.query.weight, layer.keys.weight])
                bias = torch.cat([layer.query.bias, layer.keys.bias])
            source = normed if is_own else read
            length = len(codes)
            causal = torch.ones(length, length).triu(1).bool() if is_own else None
            seen, _ = functional.multi_head_attention_forward(
                normed.transpose(0, 1), source.transpose(0, 1), source.transpose(0, 1), width, layer.heads, weight,
                bias, None, None, False, 0.0, merge.weight, merge.bias, attn_mask=causal,
            )  # fmt: skip
            values = values + seen.transpose(0, 1)
        values = values + layer.hidden(layer.hidden_norm(values))
    return head.classes(head.norm(values))[0]


def test_a_text_costs_its_tokens_given_those_before() -> None:
    torch.manual_seed(0)
    head = DecoderHead(TEXTS, 4).eval()
    randomise(head, 0.1)
    units = make_units(COUNTS, 4)
    labels = [[[3], [4], [EOS]], None, [[5], [EOS]], [[EOS]]]
    starts, expected = (0, 3, 3, 4), torch.tensor(0.0)
    for row in (0, 2, 3):
        own = units.words[starts[row] : starts[row] + COUNTS[row]]
        codes = [code for (code,) in labels[row] or ()]
        logits = slow_decoder(head, torch.cat([units.rows[row][None], own]), [BOS, *codes[:-1]])
        expected = expected + functional.cross_entropy(logits, torch.tensor(codes), reduction="sum")
    total, count = head.loss_sums(head(units), list_targets("t", labels, 1))
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-4)
    assert count == 6


def test_first_loss_of_a_text_is_that_of_the_best_constant() -> None:
    head = DecoderHead(TEXTS, 4)
    labels = [[[3], [4], [EOS]], None, [[5], [-1], [EOS]], [[EOS]]]
    total, count = head.loss_sums(head(make_units(COUNTS, 4)), list_targets("t", labels, 1))
    wanted = torch.tensor([3, 4, EOS, 5, EOS, EOS])
    expected = float(-TOKENS.log()[wanted].sum())
    assert float(total.detach()) == pytest.approx(expected + math.log(6), rel=1e-4)
    assert count == 7


def test_writing_with_kept_keys_is_the_best_of_all_texts() -> None:
    """With a beam as wide as all that can be said in three tokens."""
    torch.manual_seed(0)
    head = DecoderHead(GenerationTarget(Generation("t"), "", (0.0,) * 5, 3), 4).eval()
    randomise(head, 0.25)
    units = make_units((2, 0), 4)
    found = head.answers(head(units))
    starts = (0, 2)
    texts = [t for n in range(3) for t in itertools.product((3, 4), repeat=n)]
    for row, written in enumerate(found.parts()):
        memory = torch.cat([units.rows[row][None], units.words[starts[row] : starts[row] + (2, 0)[row]]])

        def mean(text: tuple[int, ...], memory: torch.Tensor = memory) -> float:
            codes = [*text, EOS]
            logs = slow_decoder(head, memory, [BOS, *text]).log_softmax(-1)
            return float(logs[range(len(codes)), codes].mean().detach())

        cut = list(itertools.product((3, 4), repeat=3))

        def mean_cut(text: tuple[int, ...], memory: torch.Tensor = memory) -> float:
            logs = slow_decoder(head, memory, [BOS, *text[:-1]]).log_softmax(-1)
            return float(logs[range(3), text].mean().detach())

        best = max([(mean(t), t) for t in texts] + [(mean_cut(t), t) for t in cut])
        assert tuple(written[:, 0].int().tolist()) == best[1]


def test_a_beam_finds_what_greed_misses() -> None:
    table = {
        (): [0.6, 0.4, 0.0],
        (0,): [0.3, 0.3, 0.4],
        (1,): [0.0, 0.05, 0.95],
        (0, 0): [0, 0, 1.0],
        (0, 1): [0, 0, 1.0],
    }
    history: list[tuple[int, ...]] = []

    def step(tokens: torch.Tensor, origin: torch.Tensor, place: int) -> torch.Tensor:
        nonlocal history
        before = [history[o] for o in origin.tolist()] if place else [()] * len(tokens)
        history = [(*old, t - 2) if place else () for old, t in zip(before, tokens.tolist(), strict=True)]
        rows = [[0.0, 0.0, *table.get(own, [0, 0, 1.0])] for own in history]
        return torch.tensor(rows).log()

    greedy = beam_search(step, 1, 1, 4, (0, 1, 4))
    assert greedy[0].tolist() == [2, 4]
    history = []
    assert beam_search(step, 1, 2, 4, (0, 1, 4))[0].tolist() == [3, 4]


LISTS = {"spans": (SPANS, 3, [[0, 1, 1]]), "decoder": (TEXTS, 1, [[3], [EOS]])}


@pytest.mark.parametrize("name", list(LISTS))
@pytest.mark.parametrize("counts", [(), (0,), (0, 0), (1,), (1, 0), (4, 2, 0)])
def test_any_texts_and_labels_have_finite_losses_and_gradients(name: str, counts: tuple[int, ...]) -> None:
    target, width, label = LISTS[name]
    head = task_head(target, 4)
    randomise(head, 0.2)
    units = make_units(counts, 4)
    words, rows = units.words.requires_grad_(), units.rows.requires_grad_()
    nothing = list_targets("t", [None] * len(counts), width)
    total, count = head.loss_sums(head(Units(rows, words, units.counts)), nothing)
    assert (float(total.detach()), float(count)) == (0.0, 0.0)
    has_words = bool(counts) and counts[0] > 0
    some = list_targets("t", [label if i == 0 and has_words else None for i in range(len(counts))], width)
    total, count = head.loss_sums(head(Units(rows, words, units.counts)), some)
    if has_words:
        assert float(count) == (counts[0] if name == "spans" else 2)
        total.backward()
        assert words.grad is not None
        assert words.grad.isfinite().all()
        assert not words.grad[counts[0] :].any()  # texts without labels are not heard of
        assert all(p.grad is None or p.grad.isfinite().all() for p in head.parameters())
    answers = head.eval().answers(head(units))
    assert answers.values.shape == (int(answers.counts.sum()), width)
    assert len(answers) == len(counts)
    assert (answers.counts >= 0).all()


def test_texts_are_written_as_long_as_those_of_training_at_most() -> None:
    head = DecoderHead(TEXTS, 4).eval()
    with torch.no_grad():
        head.classes.bias.copy_(torch.tensor([0.0, 0.0, -9.0, 9.0, 0.0, 0.0]))
    assert head.answers(head(make_units((2, 3), 4))).counts.tolist() == [5, 5]
    assert PAD == 0


def test_folder_and_mapping_agree() -> None:
    found = {
        value
        for file in Path(task_heads.__file__).parent.glob("*.py")
        if file.stem not in {"__init__", "head"}
        for value in vars(__import__(f"polytask.nets.task_heads.{file.stem}", fromlist=["_"])).values()
        if isinstance(value, type) and issubclass(value, task_heads.TaskHead) and value is not task_heads.TaskHead
    }
    assert found == set(TASK_HEADS.values())


@pytest.mark.parametrize("name", ["spans", "decoder"])
def test_heads_of_one_task_refuse_others(name: str) -> None:
    with pytest.raises(TaskError, match="alone"):
        task_head(tags("t", 0.0, 0.1, head=name), 4)
    with pytest.raises(TaskError, match="no head 'linea'"):
        task_head(tags("t", 0.0, 0.1, head="linea"), 4)
