"""Tags of words: spans as conlleval and seqeval read them, legal sequences, repairs, labels that training never saw."""

from __future__ import annotations

import time
import warnings
from itertools import pairwise, product

import numpy as np
import polars as pl
import pytest
import torch
from corpora import columns, corpus, treebank
from sklearn import metrics as sk
from text_labels import tags

from polytask.batch import Ragged
from polytask.errors import DataError, TaskError
from polytask.tasks import Tagging, infer_task

seqeval = pytest.importorskip("seqeval.metrics")
seqeval_strict = pytest.importorskip("seqeval.scheme")

KINDS = ("LOC", "PER")


def frame(rows, name="ner"):
    return pl.DataFrame({name: rows}, schema={name: pl.List(pl.String)})


def lists(target, rows):
    """Labels as training keeps them."""
    data = frame(rows, target.task.columns[0])
    counts = data.to_series().list.len().cast(pl.Int64).fill_null(-1).to_numpy()
    return Ragged(target.encode(data.drop_nulls()), torch.from_numpy(counts.copy()))


def scores(target, predicted, true):
    """The metrics of given tags, and the row scores of the first."""
    answer = {"tags": target.truth(lists(target, predicted))}
    truth = target.truth(lists(target, true))
    metrics = target.task.metrics()
    return {metric.name: metric.value(answer, truth) for metric in metrics}, metrics[0].rows(answer, truth)


def random_tags(seed, rows=120):
    """Tags without any order, and others that are the same in about every other word."""
    rng = np.random.default_rng(seed)
    choices = ["O", *(f"{prefix}-{kind}" for prefix, kind in product("BI", KINDS))]
    true = [rng.choice(choices, n).tolist() for n in [1, 1, 2, *rng.integers(1, 12, rows)]]
    return true, [[tag if rng.random() < 0.6 else str(rng.choice(choices)) for tag in row] for row in true]


def raw_answer(target, rows):
    """An answer of these very tags, without any repair."""
    codes = np.array([target.classes.index(tag) for row in rows for tag in row], dtype=np.float64)
    parts = target.tags.parts(codes)
    out = np.empty(len(rows), dtype=object)
    for i, part in enumerate(np.split(parts, np.cumsum([len(row) for row in rows])[:-1])):
        out[i] = part
    return {"tags": out}


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "IOB2"])
@pytest.mark.parametrize("seed", range(4))
def test_span_scores_of_any_tags_are_those_of_seqeval(scheme, seed):
    true, predicted = random_tags(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # random tags are repaired
        target = Tagging("ner", scheme=scheme).fit(frame([*true, *predicted]))
    found, rows = scores(target, predicted, true)
    assert found["span_f1"] == pytest.approx(seqeval.f1_score(true, predicted))
    assert found["precision"] == pytest.approx(seqeval.precision_score(true, predicted))
    assert found["recall"] == pytest.approx(seqeval.recall_score(true, predicted))
    assert rows.shape == (len(true),)
    assert rows.mean() == pytest.approx(found["span_f1"])
    assert rows.std() > 0
    assert 0.2 < found["span_f1"] < 0.8


@pytest.mark.parametrize("seed", range(4))
def test_bioes_is_read_strictly_of_predictions(seed):
    rng = np.random.default_rng(seed)
    true = [tags(int(n), rng, "BIOES") for n in rng.integers(1, 12, 150)]
    predicted = [  # half of them nearly right, so that there is something to count
        row if rng.random() < 0.5 else rng.permutation(row).tolist() for row in true
    ]
    target = Tagging("ner", scheme="BIOES").fit(frame(true))
    answer, truth = raw_answer(target, predicted), target.truth(lists(target, true))
    found = {metric.name: metric.value(answer, truth) for metric in target.task.metrics()}
    how = {"mode": "strict", "scheme": seqeval_strict.IOBES}
    assert found["span_f1"] == pytest.approx(seqeval.f1_score(true, predicted, **how))
    assert found["precision"] == pytest.approx(seqeval.precision_score(true, predicted, **how))
    assert found["recall"] == pytest.approx(seqeval.recall_score(true, predicted, **how))
    assert found["accuracy"] == pytest.approx(seqeval.accuracy_score(true, predicted))


def test_raw_tags_of_bio_are_read_as_conlleval_does():
    target = Tagging("ner", scheme="BIO").fit(frame([["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]]))
    true = [["B-PER", "I-PER", "O"], ["B-LOC", "B-LOC"], ["O"]]
    predicted = [["I-PER", "I-PER", "O"], ["I-LOC", "I-LOC"], ["I-PER"]]
    answer, truth = raw_answer(target, predicted), target.truth(lists(target, true))
    found = {metric.name: metric.value(answer, truth) for metric in target.task.metrics()}
    # one of three predicted spans is right, and one of three true ones is found
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == pytest.approx(1 / 3)
    assert found["span_f1"] == pytest.approx(seqeval.f1_score(true, predicted)) == pytest.approx(1 / 3)
    assert found["accuracy"] == pytest.approx(2 / 6)  # an I at the start of a span is another tag than B


def test_influences_of_sentences_by_hand():
    target = Tagging("ner", scheme="BIO").fit(frame([["O", "B-PER", "I-PER"]]))
    true = [["B-PER", "O", "O"], ["B-PER", "I-PER", "B-PER"]]
    predicted = [["B-PER", "O", "O"], ["B-PER", "O", "O"]]
    # hits (1, 0), spans (2, 3): f = 2 * 1 / 5, and f + (2 hits - f spans) / mean spans
    found, rows = scores(target, predicted, true)
    assert found["span_f1"] == pytest.approx(0.4)
    np.testing.assert_allclose(rows, [0.4 + (2 - 0.8) / 2.5, 0.4 + (0 - 1.2) / 2.5])


def test_no_spans_at_all():
    target = Tagging("ner", scheme="BIO").fit(frame([["O", "B-PER", "I-PER"]]))
    silent, _ = scores(target, [["O", "O"]], [["B-PER", "O"]])
    assert (silent["span_f1"], silent["precision"], silent["recall"]) == (0, 0, 0)
    assert seqeval.f1_score([["B-PER", "O"]], [["O", "O"]], zero_division=0) == 0
    nothing, _ = scores(target, [["O", "O"]], [["O", "O"]])
    assert all(np.isnan(nothing[name]) for name in ("span_f1", "precision", "recall"))
    alarm, _ = scores(target, [["B-PER", "O"]], [["O", "O"]])
    assert alarm["span_f1"] == 0
    empty, _ = scores(target, [[]], [[]])
    assert all(np.isnan(value) for value in empty.values())


def test_spans_do_not_go_on_in_the_next_sentence():
    target = Tagging("ner", scheme="BIO").fit(frame([["O", "B-PER", "I-PER"]]))
    found, _ = scores(target, [["B-PER"], [], ["I-PER"]], [["B-PER"], [], ["B-PER"]])
    assert found["span_f1"] == 1


@pytest.mark.parametrize(
    ("scheme", "given", "expected"),
    [
        ("BIO", ["I-A", "O", "I-A", "I-A", "I-B"], ["B-A", "O", "B-A", "I-A", "B-B"]),
        ("BIO", ["B-A", "I-B", "I-B"], ["B-A", "B-B", "I-B"]),
        ("BIO", ["B-A", "E-A", "S-A"], ["B-A", "I-A", "B-A"]),
        ("IOB1", ["B-A", "I-A", "B-A", "O", "B-B"], ["I-A", "I-A", "B-A", "O", "I-B"]),
        ("BIOES", ["B-A", "O", "I-A", "I-A", "E-A", "S-B"], ["S-A", "O", "B-A", "I-A", "E-A", "S-B"]),
        ("BIOES", ["B-A", "I-A", "B-A", "E-B"], ["B-A", "E-A", "S-A", "S-B"]),
    ],
)
def test_repairs_keep_the_spans(scheme, given, expected):
    whole = [["O", *(f"{p}-{k}" for k in "AB" for p in (("I", "B") if scheme == "IOB1" else "BI"))]]
    if scheme == "BIOES":
        whole = [["B-A", "I-A", "E-A", "S-A", "O", "B-B", "I-B", "E-B", "S-B"]]
    task = Tagging("ner", scheme=scheme)
    wrong = sum(a != b for a, b in zip(given, expected, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        target = task.fit(frame([*whole, expected]))
    with pytest.warns(UserWarning, match=rf"{wrong} of \d+ tags are not legal in {scheme} and were repaired") as caught:
        task.fit(frame([expected, given]))
    assert len(caught) == 1
    shown = target.present({"tags": target.truth(lists(target, [given]))})["ner"]
    assert shown == [expected]
    assert seqeval.f1_score([given], shown) == 1


def test_legal_tags_are_taken_without_a_word():
    rng = np.random.default_rng(0)
    for scheme in ("BIO", "BIOES"):
        Tagging("ner", scheme=scheme).fit(frame([tags(8, rng, scheme) for _ in range(30)]))


def test_unseen_tags_are_missed_spans():
    target = Tagging("ner", scheme="BIO").fit(frame([["O", "B-PER", "I-PER", "B-LOC"]]))
    true = [["B-NEW", "I-NEW", "B-NEW", "O"], ["B-LOC", "I-LOC", "B-PER", "O"], ["B-PER", "I-PER", "O", "O"]]
    predicted = [["B-PER", "I-PER", "O", "O"], ["B-LOC", "O", "B-PER", "O"], ["B-PER", "I-PER", "O", "O"]]
    found, _ = scores(target, predicted, true)
    assert found["span_f1"] == pytest.approx(seqeval.f1_score(true, predicted))
    assert found["recall"] == pytest.approx(2 / 5)
    assert found["accuracy"] == pytest.approx(seqeval.accuracy_score(true, predicted))
    assert target.unseen(frame(true)) == {"B-NEW": 2, "I-LOC": 1, "I-NEW": 1}
    codes = target.encode(frame(true))
    assert (codes[[0, 1, 2, 5], 0] < 0).all()
    assert (codes[[3, 4, 6, 7], 0] >= 0).all()


@pytest.mark.parametrize("options", [{}, {"scheme": "BIO"}])
def test_unseen_labels_lose_a_constant_without_a_gradient(options):
    target = Tagging("ner", **options).fit(frame([["O", "B-PER", "I-PER"]]))
    encoded = target.encode(frame([["B-NEW", "B-PER"]]))
    outputs = torch.randn(2, 1, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    losses = target.task.row_losses(outputs, encoded[:, None], {})
    assert float(losses[0].detach()) == pytest.approx(np.log(3))
    losses.sum().backward()
    assert (outputs.grad[0] == 0).all()
    assert (outputs.grad[1] != 0).any()


def test_words_without_a_label_are_left_out():
    target = Tagging("pos").fit(frame([["N", "V", "N", None]], "pos"))
    encoded = target.encode(frame([["N", None, "V"]], "pos"))
    assert encoded[:, 0].isnan().tolist() == [False, True, False]
    found, rows = scores(target, [["N", "N", "N"], ["V"]], [["N", None, "V"], ["V"]])
    assert found["accuracy"] == pytest.approx(2 / 3)
    # v + n / M * sum (s - v) with n = 2 rows and M = 3 words
    np.testing.assert_allclose(rows, [2 / 3 + 2 / 3 * (1 / 3 - 2 / 3), 2 / 3 + 2 / 3 * (1 - 2 / 3)])
    spans = Tagging("ner", scheme="BIO").fit(frame([["O", "B-PER", "I-PER"]]))
    counted, _ = scores(spans, [["B-PER", "I-PER", "B-PER"]], [["B-PER", None, None]])
    assert counted["precision"] == counted["recall"] == 1


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_labels_without_a_scheme_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 9, 60)
    true = [rng.choice(["N", "V", "A", "X"], n, p=[0.5, 0.3, 0.19, 0.01]).tolist() for n in sizes]
    predicted = [[t if rng.random() < 0.6 else str(rng.choice(["N", "V", "A"])) for t in row] for row in true]
    target = Tagging("pos").fit(frame([["N", "V", "A", "X"]], "pos"))
    found, rows = scores(target, predicted, true)
    flat = [t for row in true for t in row], [t for row in predicted for t in row]
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(*flat))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(*flat, average="macro"))
    assert rows.mean() == pytest.approx(found["accuracy"])


def legal_by_hand(codes, target):
    """Whether the repair leaves a sequence as it is: the definition of legal."""
    given = [target.classes[code] for code in codes]
    return target.present({"tags": target.truth(lists(target, [given]))})["ner"][0] == given


@pytest.mark.parametrize("scheme", ["BIO", "IOB1", "BIOES"])
def test_answers_are_the_best_legal_sequences(scheme):
    prefixes = "BIES" if scheme == "BIOES" else "BI"
    kinds = "A" if scheme == "BIOES" else "AB"
    whole = ["O", *(f"{p}-{k}" for k in kinds for p in prefixes)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rng = np.random.default_rng(0)
        target = Tagging("ner", scheme=scheme).fit(frame([rng.choice(whole, 300).tolist()]))
    K, sizes = target.outputs, [4, 0, 1, 3, 2, 4]
    assert len(whole) == K
    logits = torch.randn(sum(sizes), K, generator=torch.Generator().manual_seed(1))
    answer = target.answer(Ragged(logits, torch.tensor(sizes)))["tags"]
    greedy_is_wrong = 0
    for part, row in zip(torch.split(logits, sizes), answer, strict=True):
        size = len(part)
        values = part.double().numpy()
        legal = [codes for codes in product(range(K), repeat=size) if legal_by_hand(codes, target)]
        best = max(legal, key=lambda codes: sum(values[t, c] for t, c in enumerate(codes)))
        assert row[:, 0].astype(int).tolist() == list(best)
        greedy_is_wrong += part.argmax(1).tolist() != list(best)
    assert greedy_is_wrong >= 2  # the search had something to do


def test_a_sentence_without_a_legal_tagging_gets_a_tagging():
    target = Tagging("ner", scheme="BIOES").fit(frame([["B-A", "E-A"], ["B-A", "E-A"]]))
    answer = target.answer(Ragged(torch.tensor([[1.0, 0.0]]), torch.tensor([1])))
    assert target.present(answer)["ner"] in ([["B-A"]], [["E-A"]])


def test_twenty_five_thousand_words_are_decoded_in_a_second():
    rng = np.random.default_rng(0)
    sizes = torch.from_numpy(rng.integers(0, 26, 2000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        target = Tagging("ner", scheme="BIO").fit(frame([rng.choice(["O", "B-A", "I-A", "B-B", "I-B"], 500).tolist()]))
    logits = Ragged(torch.randn(int(sizes.sum()), 5, generator=torch.Generator().manual_seed(0)), sizes)
    begin = time.perf_counter()
    answer = target.answer(logits)["tags"]
    assert time.perf_counter() - begin < 3.0  # 0.1 s on an idle core
    illegal = {("O", "I-A"), ("O", "I-B"), ("B-A", "I-B"), ("I-A", "I-B"), ("B-B", "I-A"), ("I-B", "I-A")}
    shown = target.present({"tags": answer})["ner"]
    assert not any(pair in illegal for row in shown for pair in pairwise(row))


def test_a_crf_decodes_by_itself_and_knows_what_is_legal():
    target = Tagging("ner", scheme="BIO", crf=True).fit(frame([["O", "B-A", "I-A"]]))
    assert (target.unit, target.head) == ("word", "crf")
    costs = target.constants()
    b, i, o = (target.classes.index(tag) for tag in ("B-A", "I-A", "O"))
    assert costs["transitions"][o, i] < -1e6
    assert costs["transitions"][b, i] == costs["transitions"][i, o] == 0
    assert (costs["first"] < -1e6).tolist() == [k == i for k in range(3)]
    assert (costs["last"] == 0).all()
    codes = Ragged(torch.tensor([[float(b)], [float(i)], [float(o)]]), torch.tensor([2, 1]))
    assert target.present(target.answer(codes))["ner"] == [["B-A", "I-A"], ["O"]]
    assert all((cost == 0).all() for cost in Tagging("p", crf=True).fit(frame([["N", "V"]], "p")).constants().values())


@pytest.mark.parametrize(
    ("rows", "options", "error", "message"),
    [
        ([None, None], {}, TaskError, "every label is missing"),
        ([[], []], {}, TaskError, "every label is missing"),
        ([["O", "O"], ["O"]], {}, TaskError, "every label in the training rows is 'O'"),
        ([["NN", "VB"]], {"scheme": "BIO"}, TaskError, "expected tags such as 'O', 'B-PER' and 'I-PER', found 'NN'"),
    ],
)
def test_labels_that_teach_nothing(rows, options, error, message):
    with pytest.raises(error, match=message):
        Tagging("ner", **options).fit(frame(rows))


def test_a_column_without_lists():
    with pytest.raises(DataError, match=r"expected a list per row, one label per word, found values of type String"):
        Tagging("ner").fit(pl.DataFrame({"ner": ["O", "B-PER"]}))
    with pytest.raises(DataError, match=r"no column 'ner'(.|\n)*Did you mean 'nerd'"):
        Tagging("ner").fit(pl.DataFrame({"nerd": [["O"]]}))
    with pytest.raises(DataError, match="expected lists of text"):
        Tagging("ner").fit(pl.DataFrame({"ner": [[0.5, 1.5]]}))


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        ([["O", "B-PER", "I-PER"]], "BIO"),
        ([["O", "I-PER"], ["O"]], "IOB1"),
        ([["O", "S-PER"], None], "BIOES"),
        ([["NN", "VB"], []], "none"),
    ],
)
def test_list_columns_are_guessed_to_be_tags(rows, scheme):
    guess = infer_task(frame(rows).to_series(), "ner")
    assert guess.task == Tagging("ner", scheme=scheme)


def test_the_winner_of_wnut_17_scores_what_was_published():
    names = ("wnut17train.conll.gz", "emerging.test.annotated.gz", "submission_uh_ritual.conll")
    train, test, submitted = (columns(corpus("wnut17", name), ner=-1).to_series().to_list() for name in names)
    target = Tagging("ner", scheme="BIO").fit(frame(train))
    found, rows = scores(target, submitted, test)
    assert round(100 * found["span_f1"], 2) == 41.86
    assert round(100 * found["precision"], 2) == 57.54
    assert round(100 * found["recall"], 2) == 32.90
    assert rows.mean() == pytest.approx(found["span_f1"])
    assert found["span_f1"] == pytest.approx(seqeval.f1_score(test, submitted))


def test_parts_of_speech_of_the_english_web_treebank():
    dev = treebank("dev")
    target = Tagging("upos").fit(dev)
    assert target.outputs == 17
    true, rng = dev["upos"].to_list(), np.random.default_rng(0)
    predicted = [[t if rng.random() < 0.8 else str(rng.choice(target.classes)) for t in row] for row in true]
    found, _ = scores(target, predicted, true)
    flat = [t for row in true for t in row], [t for row in predicted for t in row]
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(*flat))
    assert found["macro_f1"] == pytest.approx(sk.f1_score(*flat, average="macro"))


def test_entities_of_the_english_web_treebank():
    file = corpus("uner_english_ewt", "en_ewt-ud-dev.iob2.gz")
    true = [["O" if tag in ("_", "-") else tag for tag in row] for row in columns(file, ner=2)["ner"].to_list()]
    target = Tagging("ner", scheme="IOB2").fit(frame(true))
    assert target.tags.kinds == ("LOC", "ORG", "PER")
    rng = np.random.default_rng(0)
    predicted = [[tag if rng.random() < 0.7 else str(rng.choice(target.classes)) for tag in row] for row in true]
    found, rows = scores(target, predicted, true)
    assert found["span_f1"] == pytest.approx(seqeval.f1_score(true, predicted))
    assert found["precision"] == pytest.approx(seqeval.precision_score(true, predicted))
    assert found["recall"] == pytest.approx(seqeval.recall_score(true, predicted))
    assert rows.mean() == pytest.approx(found["span_f1"])
