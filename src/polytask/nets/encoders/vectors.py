"""Static vectors of words: from a file, or from the package wordllama."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from polytask.errors import ConfigError, MissingExtraError

Found = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Vectors ``(V, E)``, and which of the words have one ``(V,)``."""


def static_vectors(source: str, words: Sequence[str]) -> Found:
    """The vectors of words.

    A word that the file has in another case only is found too: first as it is, then in lower case.

    :param source: ``wordllama``, or the path of a file: ``.npz`` with ``words`` and ``vectors``, or text with a word
        and its numbers per line (a first line with two numbers is passed over).
    :raises polytask.errors.ConfigError: there is no such file, or it holds no vectors for any of these words.
    """
    if source == "wordllama":
        return _wordllama(words)
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"there is no file {source!r}.", where="vectors", do="Give the path of a file of vectors, or 'wordllama'."
        )
    known = set(words) | {word.lower() for word in words}
    table = _from_npz(path, known) if path.suffix == ".npz" else _from_text(path, known)
    rows = [table.get(word, table.get(word.lower())) for word in words]
    has = np.array([row is not None for row in rows], dtype=np.bool_)
    if not has.any():
        raise ConfigError(f"{source!r} has a vector for none of the {len(words)} words.", where="vectors")
    width = len(next(row for row in rows if row is not None))
    return np.stack([np.zeros(width, np.float32) if row is None else row for row in rows]), has


def fitted(vectors: NDArray[np.float32], width: int) -> Tensor:
    """Vectors ``(V, E)`` on their ``width`` first principal axes, zeros behind; the mean of all squares is 1.

    >>> fitted(np.array([[3.0, 1.0], [-3.0, 1.0]], np.float32), 1).abs().flatten().tolist()
    [1.0, 1.0]
    """
    centred = torch.from_numpy(vectors).double()
    centred = centred - centred.mean(0)
    values, axes = torch.linalg.eigh(centred.T @ centred)
    kept = centred @ axes[:, values.argsort(descending=True)[:width]]
    kept = kept / kept.square().mean().sqrt().clamp(min=1e-12)
    return torch.nn.functional.pad(kept, (0, width - kept.shape[1])).float()


def _from_text(path: Path, known: set[str]) -> dict[str, NDArray[np.float32]]:
    """Words with their vectors; lines of another length than the first are refused."""
    table: dict[str, NDArray[np.float32]] = {}
    width = 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            word, _, numbers = line.rstrip("\n").partition(" ")
            if number == 1 and len(numbers.split()) == 1:
                continue  # the header of word2vec's format
            if word not in known:
                continue
            try:
                table[word] = vector = np.array(numbers.split(), np.float32)
            except ValueError:
                raise ConfigError("expected a word and its numbers.", where=f"{path}, line {number}") from None
            width = width or len(vector)
            if len(vector) != width or not width:
                raise ConfigError(
                    f"expected {width or 'some'} numbers, found {len(vector)}.", where=f"{path}, line {number}"
                )
    return table


def _from_npz(path: Path, known: set[str]) -> dict[str, NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as arrays:
        if not {"words", "vectors"} <= set(arrays.files):
            raise ConfigError(f"expected arrays 'words' and 'vectors', found {arrays.files}.", where=str(path))
        words, vectors = arrays["words"].tolist(), arrays["vectors"]
    return {word: vectors[i].astype(np.float32) for i, word in enumerate(words) if word in known}


def _wordllama(words: Sequence[str]) -> Found:
    """Means over the pieces of each word; the package's files are read, not its code."""
    package = find_spec("wordllama")
    if package is None or package.origin is None:
        raise MissingExtraError("wordllama", "text", "vectors: wordllama")
    try:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "text", "vectors: wordllama") from None
    folder = Path(package.origin).parent
    table = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"].astype(np.float32)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pieces = tokenizer.encode_batch(list(words), add_special_tokens=False)
    rows = [table[piece.ids].mean(0) if piece.ids else np.zeros(table.shape[1], np.float32) for piece in pieces]
    return np.stack(rows), np.array([bool(piece.ids) for piece in pieces], dtype=np.bool_)
