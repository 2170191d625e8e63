"""Pretrained tokenizers of the Hugging Face libraries, from a folder or by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from polytask.batch import InputSpec
from polytask.errors import ConfigError, MissingExtraError
from polytask.tokens.assembly import Marks
from polytask.tokens.pretrained import Pretrained, load_pretrained
from polytask.tokens.ragged import Codes, Ints
from polytask.tokens.tokenizer import Tokenizer
from polytask.tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    import tokenizers

OFFSET_POSITIONS = frozenset(
    ["roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "mpnet", "longformer"]
)
"""Kinds of model whose positions begin behind that of the padding, so that they have that many fewer."""
USUAL_WINDOW = 512
"""Where neither model nor tokenizer says how long a text may be."""


@dataclass(frozen=True)
class HFTokenizer(Tokenizer):
    """The tokenizer of a pretrained model, with the words of a text given (``is_split_into_words``).

    :param model: a folder with ``config.json`` and ``tokenizer.json`` (or the files of a slow tokenizer), or a name on
        the hub.
    :param window: most tokens that the encoder reads at once, special ones included; 0: as many as the model can.
    """

    model: str
    window: int = 0

    def __post_init__(self) -> None:
        if self.window < 0:
            raise ConfigError(f"expected 0 or more, found {self.window}.", where="window")

    def fit(self, sentences: Iterable[Sequence[str]] = ()) -> HFVocabulary:
        """The vocabulary of the model; the training split has no say.

        :raises ConfigError: no such folder, files that are missing, or a tokenizer and a model that do not match.
        """
        found = load_pretrained(self.model)
        most = _longest(found)
        if self.window > most:
            raise ConfigError(
                f"the model reads at most {most} tokens at once, {self.window} were asked for.",
                where="window",
                do="Leave the window out; longer texts are read in several windows.",
            )
        return _vocabulary(found, self.window or most)


@dataclass(frozen=True)
class HFVocabulary(Vocabulary):
    """A tokenizer with everything that it knows, so that no folder is needed to read it back.

    :param tokenizer: the tokenizer as JSON text of the ``tokenizers`` library.
    :param backbone: ``config.json`` of the model.
    :param pad, unknown, mask: codes.
    :param window: most tokens of a window.
    :param prefix: what is put before every word: a blank, where the tokenizer tells the beginning of a word by it.
    """

    tokenizer: str
    backbone: str
    pad: int
    unknown: int
    mask: int
    window: int
    prefix: str = ""

    kind: ClassVar[str] = "hf"

    @property
    def spec(self) -> InputSpec:
        """Size of the vocabulary, window, and the configuration of the model."""
        size: int = self._loaded.get_vocab_size(with_added_tokens=True)
        return InputSpec(0, vocabulary=size, window=self.window, backbone=self.backbone)

    @cached_property
    def marks(self) -> Marks:
        """The special tokens that the tokenizer's post-processor puts around texts."""
        before, after = _around(self._loaded.encode(["a"], is_pretokenized=True))
        between = _between(self._loaded.encode(["a"], ["a"], is_pretokenized=True), len(before))
        pad, unknown, mask = (np.array(code, np.int32) for code in (self.pad, self.unknown, self.mask))
        return Marks(before, between, after, pad, unknown, mask)

    def pieces(self, forms: Sequence[str]) -> tuple[Codes, Ints]:
        """The pieces of every word, ``(P,)``; the library codes words in parallel."""
        # Half a surrogate pair is no text, and an empty word is none with a blank before it either.
        words = [self.prefix + form.encode("utf-8", "replace").decode() if form else "" for form in forms]
        encodings = self._loaded.encode_batch_fast(
            [[word] for word in words], is_pretokenized=True, add_special_tokens=False
        )
        parts = [encoding.ids for encoding in encodings]
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        return np.fromiter((code for part in parts for code in part), np.int32, int(sizes.sum())), sizes

    def drawn(self, draws: NDArray[np.uint64]) -> Codes:
        """Pieces of the vocabulary that are no special tokens."""
        return np.asarray(self._ordinary[draws % np.uint64(len(self._ordinary))])

    def to_json(self) -> dict[str, Any]:
        """Tokenizer and configuration as JSON values."""
        return {
            "kind": self.kind,
            "tokenizer": json.loads(self.tokenizer),
            "backbone": json.loads(self.backbone),
            "pad": self.pad,
            "unknown": self.unknown,
            "mask": self.mask,
            "window": self.window,
            "prefix": self.prefix,
        }

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> HFVocabulary:
        """The vocabulary again."""
        return cls(
            json.dumps(mapping["tokenizer"]),
            json.dumps(mapping["backbone"]),
            int(mapping["pad"]),
            int(mapping["unknown"]),
            int(mapping["mask"]),
            int(mapping["window"]),
            str(mapping["prefix"]),
        )

    @cached_property
    def _loaded(self) -> tokenizers.Tokenizer:
        try:
            import tokenizers
        except ImportError:
            raise MissingExtraError("tokenizers", "text", "A pretrained tokenizer") from None
        loaded = tokenizers.Tokenizer.from_str(self.tokenizer)
        loaded.encode_special_tokens = True  # "[SEP]" in a text of the user is a text, not a separator
        return loaded

    @cached_property
    def _ordinary(self) -> Codes:
        special = {code for code, token in self._loaded.get_added_tokens_decoder().items() if token.special}
        codes = set(self._loaded.get_vocab(with_added_tokens=True).values()) - special
        return np.array(sorted(codes), np.int32)


def _longest(found: Pretrained) -> int:
    """Most tokens of a window that model and tokenizer allow."""
    positions = found.config.get("max_position_embeddings") or found.config.get("n_positions") or 0
    if positions and found.config.get("model_type") in OFFSET_POSITIONS:
        positions -= int(found.config.get("pad_token_id") or 0) + 1
    known = [length for length in (int(positions), found.longest) if length > 0]
    return min(known, default=USUAL_WINDOW)


def _vocabulary(found: Pretrained, window: int) -> HFVocabulary:
    loaded = found.tokenizer
    largest = max(loaded.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    embedded = int(found.config.get("vocab_size") or 0)
    if embedded and largest > embedded:
        raise ConfigError(
            f"the tokenizer has {largest:,} codes, the model has vectors for {embedded:,}.",
            where=found.place,
            do="Tokenizer and model do not belong together. Give a folder in which both come from the same model.",
        )
    code = {name: loaded.token_to_id(token) for name, token in found.special.items()}
    pad = next((c for c in (code.get("pad_token"), found.config.get("pad_token_id")) if isinstance(c, int)), 0)
    unknown = next((c for c in (code.get("unk_token"), code.get("mask_token")) if c is not None), pad)
    mask = code.get("mask_token")
    backbone = dict(found.config)
    if code.get("sep_token") is not None:  # encoders that tell the texts of a pair apart look for it
        backbone["sep_token_id"] = code["sep_token"]
    learned = json.loads(loaded.to_str()) | {"truncation": None, "padding": None}
    vocabulary = HFVocabulary(
        json.dumps(learned),
        json.dumps(backbone),
        pad,
        unknown,
        unknown if mask is None else mask,
        window,
        _prefix(learned),
    )
    if vocabulary.capacity < 1:
        raise ConfigError(
            f"a window of {window} tokens holds {vocabulary.marks.width} special tokens and nothing else.",
            where="window",
            do="Give a longer window, or none.",
        )
    return vocabulary


def _prefix(tokenizer: Mapping[str, Any]) -> str:
    """A blank for tokenizers that would else take every word for the rest of the one before it."""
    stage = tokenizer.get("pre_tokenizer") or {}
    for part in stage.get("pretokenizers", [stage]):
        if part.get("type") == "ByteLevel" or (part.get("type"), part.get("prepend_scheme")) == ("Metaspace", "never"):
            return " "
    return ""


def _around(encoding: tokenizers.Encoding) -> tuple[Codes, Codes]:
    """The special tokens before and after a single text."""
    codes, special = np.array(encoding.ids, np.int32), np.array(encoding.special_tokens_mask, bool)
    own = np.flatnonzero(~special)
    return codes[: own[0]], codes[own[-1] + 1 :]


def _between(encoding: tokenizers.Encoding, before: int) -> Codes:
    """The special tokens between the texts of a pair."""
    codes, texts = np.array(encoding.ids, np.int32), encoding.sequence_ids
    first = [at for at, text in enumerate(texts) if text == 0]
    second = [at for at, text in enumerate(texts) if text == 1]
    return codes[(first[-1] if first else before) + 1 : second[0]] if second else codes[:0]
