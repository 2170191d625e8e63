"""Codes of corpora kept on disk, so that a corpus is tokenised once: Arrow files that are mapped into memory."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pyarrow as pa

from polytask.data.text.words import Wordlists
from polytask.tokens.encoded import Encoded
from polytask.tokens.ragged import Codes, offsets_of
from polytask.tokens.vocabulary import Vocabulary

VARIABLE = "POLYTASK_CACHE"
"""Environment variable with the folder of the cache; ``off`` or nothing for none. Default: ``~/.cache/polytask``."""
ENOUGH = 20_000
"""Words below which a corpus is tokenised faster than its file is found."""


def coded(words: Wordlists, vocabulary: Vocabulary) -> Encoded:
    """Words as codes, from the cache if the same words were coded by the same vocabulary before."""
    folder = cache_folder() if vocabulary.slow and len(words.flat) >= ENOUGH else None
    if folder is None:
        return vocabulary.encode_flat(words.flat, words.counts, words.leads)
    path = folder / "tokens" / f"{_key(words, vocabulary)}.arrow"
    found = _read(path)
    if found is None:
        found = vocabulary.encode_flat(words.flat, words.counts, words.leads)
        _write(path, found)
    return found


def cache_folder() -> Path | None:
    """The folder of the cache; None where it is switched off."""
    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        return Path.home() / ".cache" / "polytask"
    return None if chosen.strip().lower() in ("", "off", "0", "no", "false") else Path(chosen).expanduser()


def _key(words: Wordlists, vocabulary: Vocabulary) -> str:
    digest = sha256(vocabulary.digest.encode())
    for numbers in (words.counts, words.leads):
        digest.update(b"" if numbers is None else numbers.tobytes())
    lengths = words.flat.str.len_bytes().to_numpy()
    digest.update(lengths.tobytes())
    digest.update("".join(words.flat.to_list()).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _write(path: Path, encoded: Encoded) -> None:
    """One row per text: its words, each a list of codes. A folder that cannot be written to is no reason to stop."""
    codes = pa.array(encoded.codes.ravel())
    if encoded.codes.ndim > 1:
        codes = pa.FixedSizeListArray.from_arrays(codes, encoded.codes.shape[1])
    pieces = pa.LargeListArray.from_arrays(offsets_of(encoded.piece_counts), codes)
    texts = pa.LargeListArray.from_arrays(offsets_of(encoded.word_counts), pieces)
    columns = {"words": texts} if encoded.leads is None else {"words": texts, "leads": pa.array(encoded.leads)}
    table = pa.table(columns)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)
        os.replace(file.name, path)
    except OSError:
        return


def _read(path: Path) -> Encoded | None:
    """What a file holds; None without one that can be read."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all().combine_chunks()
        texts = table["words"].combine_chunks()
        pieces = texts.values
        codes = _codes(pieces.values)
        counts = [np.diff(part.offsets.to_numpy()).astype(np.int32) for part in (pieces, texts)]
        leads = table["leads"].combine_chunks().to_numpy() if "leads" in table.column_names else None
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    return Encoded(codes, counts[0], counts[1], leads)


def _codes(values: pa.Array) -> Codes:
    if pa.types.is_fixed_size_list(values.type):
        return np.asarray(values.flatten()).reshape(-1, values.type.list_size)
    return np.asarray(values)
