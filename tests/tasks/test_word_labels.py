"""Morphology, lemmas and hidden words: what labels, errors and scores mean, by hand and on a treebank."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from corpora import treebank

from polytask.batch import Ragged
from polytask.errors import ConfigError, DataError, TaskError
from polytask.tasks import LanguageModelling, Lemmatisation, MorphTagging

FEATS = [["Number=Sing|Person=3", "_"], ["Number=Plur", "Tense=Past|Typo=Yes"], None, []]


def feats(rows):
    return pl.DataFrame({"feats": rows}, schema={"feats": pl.List(pl.String)})


def kept(target, frame):
    """Labels as training keeps them."""
    column = frame[target.task.columns[0]]
    counts = column.list.len().cast(pl.Int64).fill_null(-1).to_numpy()
    return Ragged(target.encode(frame.filter(column.is_not_null())), torch.from_numpy(counts.copy()))


def values(target, predicted, true, key):
    truth = target.truth(kept(target, true))
    answer = {key: target.truth(kept(target, predicted))}
    return {metric.name: metric.value(answer, truth) for metric in target.task.metrics()}


class TestMorphology:
    target = MorphTagging("morph").fit(feats(FEATS))

    def test_attributes_and_frequencies(self):
        assert self.target.attributes == (
            ("Number", ("Plur", "Sing")),
            ("Person", ("3",)),
            ("Tense", ("Past",)),
            ("Typo", ("Yes",)),
        )
        assert (self.target.outputs, self.target.width) == (3 + 2 + 2 + 2, 4 + 2)
        shares = self.target.bias().exp().tolist()
        assert shares == pytest.approx([2 / 4, 1 / 4, 1 / 4, 3 / 4, 1 / 4, 3 / 4, 1 / 4, 3 / 4, 1 / 4])

    def test_codes(self):
        rows = feats([["Person=3|Number=Plur", "", None], ["Number=Dual|Case=Nom|Clitic=Yes|Foo=Bar"]])
        expected = [[1, 1, 0, 0, 0, 0], [0] * 6, [np.nan] * 6, [-1, 0, 0, 0, -1, -2]]
        np.testing.assert_array_equal(self.target.encode(rows).numpy(), expected)
        assert self.target.unseen(rows) == {"Number=Dual|Case=Nom|Clitic=Yes|Foo=Bar": 1}

    def test_scores_by_hand(self):
        true = feats([["Number=Sing|Person=3", "Typo=Yes", "_"], ["Case=Nom|Number=Plur", "Clitic=Yes"]])
        predicted = feats([["Number=Sing", "_", "_"], ["Number=Plur", "_"]])
        found = values(self.target, predicted, true, "features")
        assert found["exact_match"] == pytest.approx(1 / 5)  # the third word
        assert found["ufeats"] == pytest.approx(3 / 5)  # and those that differ in Typo and Clitic only
        # 2 right of 2 predicted and 6 true features
        assert found["micro_f1"] == pytest.approx(2 * 2 / (2 + 6))

    def test_answers_are_the_most_probable_values(self):
        logits = torch.tensor([[0.0, 2, 1, 0, 1, 3, 0, 0, 5], [9.0, 0, 0, 9, 0, 9, 0, 9, 0]])
        answer = self.target.answer(Ragged(logits, torch.tensor([2])))
        assert self.target.present(answer) == {"feats": [["Number=Plur|Person=3|Typo=Yes", "_"]]}

    def test_the_loss_is_the_mean_over_attributes(self):
        logits = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
        codes = self.target.encode(feats([["Number=Sing|Person=3", "_", "Number=Dual"]]))
        found = self.target.task.row_losses(
            logits[:, None], codes[:, None], {"places": self.target.constants()["places"][None]}
        )
        parts = [torch.log_softmax(part, -1) for part in logits.split([3, 2, 2, 2], 1)]
        by_hand = [
            -(parts[0][0, 2] + parts[1][0, 1] + parts[2][0, 0] + parts[3][0, 0]) / 4,
            -(parts[0][1, 0] + parts[1][1, 0] + parts[2][1, 0] + parts[3][1, 0]) / 4,
            -(-np.log(3) + parts[1][2, 0] + parts[2][2, 0] + parts[3][2, 0]) / 4,  # unseen: log 3
        ]
        torch.testing.assert_close(found[:, 0], torch.stack([torch.as_tensor(x) for x in by_hand]).float())

    def test_attributes_with_other_sizes_are_another_head(self):
        other = MorphTagging("morph").fit(feats([["A=1|B=1|C=1|D=2", "D=1", "_"]]))
        assert (other.outputs, other.width) == (self.target.outputs, self.target.width)
        assert other.signature != self.target.signature

    def test_what_are_no_features(self):
        with pytest.raises(DataError, match=r"'Number=Sing\|Person=3', found 'Sing'(.|\n)*|row 2"):
            MorphTagging("morph").fit(feats([["Number=Sing"], ["_", "Sing"]]))
        with pytest.raises(DataError, match="row 3"):
            self.target.encode(feats([["Number=Sing"], [], ["Number="]]))
        with pytest.raises(TaskError, match="every label in the training rows is '_'"):
            MorphTagging("morph").fit(feats([["_", "_"]]))

    def test_the_treebank(self):
        dev = treebank("dev")
        target = MorphTagging("morph").fit(dev)
        encoded = kept(target, dev)
        answer = {"features": target.truth(encoded)}
        assert target.present(answer)["feats"] == dev["feats"].to_list()
        strings = dev["feats"].explode()
        assert len({tuple(row) for row in encoded.values.tolist()}) == strings.n_unique()
        nothing = values(target, feats([["_"] * len(row) for row in dev["feats"]]), dev, "features")
        assert nothing["exact_match"] == pytest.approx(float((strings == "_").mean()))


LEMMAS = pl.DataFrame(
    {
        "words": [["Dogs", "ran", "The", "runs"], ["cats", "the", "dogs"], ["s"], []],
        "lemma": [["dog", "run", "the", "run"], ["cat", "the", "dog"], None, []],
    }
)


class TestLemmas:
    target = Lemmatisation("lemmas", columns=("lemma",)).fit(LEMMAS)

    def test_rare_scripts_are_left_out(self):
        assert [tuple(script) for script in self.target.scripts] == [(0, 1, "", "", ()), (0, 0, "", "", ())]
        assert len(Lemmatisation("lemma", min_count=1).fit(LEMMAS).scripts) == 3
        assert len(Lemmatisation("lemma", min_count=1, scripts=2).fit(LEMMAS).scripts) == 2
        np.testing.assert_allclose(self.target.bias().exp().tolist(), [4 / 6, 2 / 6], rtol=1e-6)

    def test_labels(self):
        rows = pl.DataFrame({"words": [["cats", "went", "_", "x", "a"]], "lemma": [["cat", "go", "_", "_", None]]})
        first = self.target.encode(rows)[:, 0]
        np.testing.assert_array_equal(first, [0, -1, 1, np.nan, np.nan])
        assert self.target.unseen(rows) == {"went -> go": 1}

    def test_every_script_that_gives_the_lemma_is_right(self):
        words, lemmas = ["bakes", "cats", "mad", "was", "ABC"], ["bake", "cat", "me", "be", "ABC"]
        target = Lemmatisation("lemma", min_count=1).fit(pl.DataFrame({"words": [words], "lemma": [lemmas]}))
        place = {tuple(script): code for code, script in enumerate(target.scripts)}
        cut, swap, be, loud = (
            place[0, 1, "", "", ()],
            place[0, 2, "", "e", ()],
            place[-1, 0, "be", "", ()],
            place[0, 0, "", "", (0,)],
        )
        rows = pl.DataFrame({"words": [["sees", "dogs", "bex", "35"]], "lemma": [["see", "dog", "be", "35"]]})
        codes = target.encode(rows).numpy()
        nan = np.nan
        expected = [[cut, swap, nan, nan], [cut] + [nan] * 3, [cut, *sorted((be, swap)), nan], [loud] + [nan] * 3]
        np.testing.assert_array_equal(codes, expected)
        assert not target.unseen(rows)  # signs have no case, so that "35" is what "ABC" is
        truth = target.truth(Ragged(torch.from_numpy(codes), torch.tensor([4])))
        metric = target.task.main_metric
        for given, share in (([swap, cut, be, loud], 1), ([cut, swap, cut, cut], 1 / 2)):
            answer = {"scripts": np.array([np.array(given, dtype=float), None], dtype=object)[:1]}
            right = [
                a == b
                for a, b in zip(
                    target.present_words(answer, rows["words"].to_list())["lemma"][0], rows["lemma"][0], strict=True
                )
            ]
            assert metric.value(answer, truth) == share == np.mean(right)

    def test_lemmas_of_words(self):
        answer = {"scripts": np.array([np.array([0.0, 1.0, 0.0])], dtype=object)}
        assert self.target.present_words(answer, [["Birds", "Sing", "x"]]) == {"lemma": [["bird", "sing", "x"]]}
        assert self.target.present(answer)["lemma"][0][0] == "(0, 1, '', '', ())"

    def test_words_and_lemmas_must_fit(self):
        wrong = pl.DataFrame({"words": [["a", "b"], ["c"]], "lemma": [["a", "b"], ["c", "d"]]})
        with pytest.raises(
            DataError, match=r"row 2: expected lists of equal length, found 1 of 'words' and 2 of 'lemma'"
        ):
            Lemmatisation("lemma").fit(wrong)
        with pytest.raises(DataError, match="no column 'words'"):
            Lemmatisation("lemma").fit(wrong.drop("words"))
        with pytest.raises(TaskError, match="at least two ways from words to lemmas"):
            Lemmatisation("lemma").fit(pl.DataFrame({"words": [["a", "b"]], "lemma": [["a", "b"]]}))
        with pytest.raises(ConfigError, match="scripts of at least 2"):
            Lemmatisation("lemma", scripts=1)

    def test_the_treebank(self):
        train, dev = treebank("train"), treebank("dev")
        target = Lemmatisation("lemma").fit(train)
        codes = target.encode(dev)[:, 0]
        asked = ~codes.isnan()
        assert 250 < target.outputs < 350
        assert float((codes[asked] >= 0).double().mean()) > 0.99  # the best that can be reached
        truth = target.truth(kept(target, dev))
        answer = {"scripts": np.array([np.nan_to_num(row[:, 0]) for row in truth], dtype=object)}
        shown = target.present_words(answer, dev["words"].to_list())["lemma"]
        flat = zip(pl.Series(shown).explode(), dev["lemma"].explode(), codes.tolist(), strict=True)
        assert all(own == wanted for own, wanted, code in flat if code >= 0)


class TestHiddenWords:
    frame = pl.DataFrame({"words": [["a", "b", "a"], ["a", "c", "b"], []]})

    def test_frequent_words(self):
        target = LanguageModelling("lm").fit(self.frame)
        assert target.words == ("a", "b")
        np.testing.assert_allclose(target.bias().exp().tolist(), [3 / 5, 2 / 5], rtol=1e-6)
        np.testing.assert_array_equal(target.encode(self.frame)[:, 0], [0, 1, 0, 0, np.nan, 1])
        assert not target.unseen(self.frame)  # "c" is never asked for
        assert LanguageModelling("lm", min_count=1, vocabulary=2).fit(self.frame).words == ("a", "b")

    def test_it_is_an_auxiliary_task_that_hides_words(self):
        task = LanguageModelling("lm")
        assert (task.role, task.masks_words, task.columns) == ("auxiliary", 0.15, ("words",))
        assert LanguageModelling("lm", role="primary").role == "primary"

    def test_only_hidden_words_count(self):
        target = LanguageModelling("lm").fit(self.frame)
        outputs = torch.tensor([[2.0, 1.0], [2.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
        reduced = target.reduce(outputs)
        assert reduced.tolist() == [[0], [0], [1], [0]]
        answer = target.answer(Ragged(reduced, torch.tensor([3, 0, 1])))
        nan = float("nan")
        truth = target.truth(Ragged(torch.tensor([[0.0], [nan], [0.0], [0.0]]), torch.tensor([3, 0, 1])))
        metric = target.task.main_metric
        assert metric.value(answer, truth) == pytest.approx(2 / 3)
        assert metric.rows(answer, truth).tolist() == pytest.approx([2 / 3 - 1 / 3, 2 / 3, 2 / 3 + 1 / 3])

    def test_too_few_words(self):
        with pytest.raises(TaskError, match="at least two words that occur 2 times"):
            LanguageModelling("lm").fit(pl.DataFrame({"words": [["a", "a", "b"]]}))
        with pytest.raises(ConfigError, match="vocabulary of at least 2"):
            LanguageModelling("lm", vocabulary=1)
