"""Treebanks: what is read, and every way a file can be wrong."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polytask.data.corpora import read_corpus
from polytask.data.corpora.trees import no_tree
from polytask.errors import DataError

DATA = os.environ.get("POLYTASK_DATA")

SAMPLE = """# newdoc id = one
# sent_id = a1
# text = We don't.
1\tWe\twe\tPRON\tPRP\tCase=Nom|Number=Plur\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\t_\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_

# sent_id = a2
1\t_\t_\tSYM\t_\t_\t0\troot\t_\t_
2\tx\t_\tX\t_\t_\t1\tdep\t_\t_"""


def write(folder: Path, content: str | bytes, name: str = "a.conllu") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def words(*lines: str) -> str:
    """Lines of words with a number, a form and a head."""
    return "".join(
        f"{number}\t{form}\t{form}\tX\tX\t_\t{head}\tdep\t_\t_\n"
        for number, form, head in (line.split() for line in lines)
    )


def test_what_the_format_says_is_read(tmp_path: Path) -> None:
    frame = read_corpus(write(tmp_path, SAMPLE))  # the last blank line is missing, too
    assert frame["words"].to_list() == [["We", "do", "n't", "."], ["_", "x"]]
    assert frame["lemma"].to_list() == [["we", "do", "not", "."], ["_", None]]
    assert frame["upos"].to_list() == [["PRON", "AUX", "PART", "PUNCT"], ["SYM", "X"]]
    assert frame["xpos"].to_list() == [["PRP", "VBP", "RB", "."], None]
    assert frame["feats"].to_list()[0] == ["Case=Nom|Number=Plur", "_", "_", "_"]
    assert frame["head"].to_list() == [[2, 0, 2, 2], [0, 1]]
    assert frame["deprel"].to_list() == [["nsubj", "root", "advmod", "punct"], ["root", "dep"]]
    assert frame.select("sent_id", "text", "doc").rows() == [("a1", "We don't.", "one"), ("a2", None, "one")]


@pytest.mark.parametrize("change", ["crlf", "bom", "gzip", "many blanks", "mac"])
def test_files_differ_in_what_does_not_matter(change: str, tmp_path: Path) -> None:
    plain = SAMPLE.encode()
    changed = {
        "crlf": plain.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + plain,
        "gzip": gzip.compress(plain),
        "many blanks": b"\n\n" + plain.replace(b"\n\n", b"\n  \n\n") + b"\n\n\n",
        "mac": plain.replace(b"\n", b"\r"),
    }[change]
    path = write(tmp_path, changed, "b.conllu.gz" if change == "gzip" else "b.conllu")
    assert read_corpus(path).equals(read_corpus(write(tmp_path, SAMPLE)))


def test_labels_come_under_the_names_of_the_tasks(tmp_path: Path) -> None:
    path = write(tmp_path, SAMPLE)
    frame = read_corpus(path, tasks={"pos": "upos", "deps": ["head", "deprel"]})
    assert frame.columns == ["words", "sent_id", "text", "doc", "pos", "head", "deprel"]
    declared = {"pos": ("tag",), "deps": ("head", "deprel"), "lemmas": ("lemma",)}
    assert "lemma" not in read_corpus(path, tasks={"pos": "upos"}, columns=declared).columns
    assert read_corpus(path, tasks={"pos": "upos"}, columns=declared)["tag"].to_list()[1] == ["SYM", "X"]


ROW = "1\ta\ta\tX\tX\t_\t0\troot\t_\t_"
WRONG = {
    "blanks": (f"{ROW}\n\n{ROW.replace(chr(9), '   ')}\n", r"line 3: expected 10 columns .*blanks instead of tabs.*\n"),
    "too few": (f"# c\n{ROW}\n2\tb\tb\n", r"line 3: expected 10 columns with tabs between them, found 3: '2\\tb\\tb'"),
    "too many": (f"{ROW}\t_\n", r"line 1: expected 10 columns .*found 11"),
    "no number": (ROW.replace("1", "one", 1), r"line 1: expected the number of a word, found 'one'"),
    "a gap": (words("1 a 0", "3 b 1"), r"line 2: expected word 2, found word 3"),
    "no blank line": (words("1 a 0", "1 b 0"), r"line 2: expected word 2, found word 1.\n.*blank line .* missing"),
    "latin-1": (
        words("1 a 0", "2 caf\xe9 1").encode("latin-1"),
        r"line 2: expected text in UTF-8, found the byte 0xE9",
    ),
    "utf-16": (SAMPLE.encode("utf-16"), r".*this looks like UTF-16"),
    "empty": ("  \n\n", r"the file is empty"),
    "comments": ("# sent_id = 1\n# text = a\n", r".*comments and no words"),
}


@pytest.mark.parametrize("case", list(WRONG))
def test_wrong_files_are_explained_with_their_line(case: str, tmp_path: Path) -> None:
    content, message = WRONG[case]
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}: (?s:{message})"):
        read_corpus(path)


def test_a_damaged_archive_and_a_missing_file_are_explained(tmp_path: Path) -> None:
    whole = gzip.compress(SAMPLE.encode())
    with pytest.raises(DataError, match="no complete gzip archive"):
        read_corpus(write(tmp_path, whole[:-20], "a.conllu.gz"))
    with pytest.raises(DataError, match=r"no such file.\n.*Did you mean 'a.conllu.gz'"):
        read_corpus(tmp_path / "a.conlu.gz", "conllu")


@pytest.mark.parametrize(
    ("heads", "kind"), [("2 1 1", "cycle"), ("0 2 1", "its own head"), ("0 7 1", "outside"), ("0 x 1", "no number")]
)
def test_heads_that_make_no_tree_are_dropped_and_counted(heads: str, kind: str, tmp_path: Path) -> None:
    bad = words(*(f"{i} w{i} {head}" for i, head in enumerate(heads.split(), 1)))
    path = write(tmp_path, f"{words('1 a 0', '2 b 1')}\n# sent_id = odd\n{bad}\n{bad}")
    with pytest.warns(UserWarning, match=r"2 sentences have heads that make no tree .*line 5 \(sent_id odd\)"):
        frame = read_corpus(path)
    assert frame["head"].to_list() == [[0, 1], None, None]
    assert frame["deprel"].to_list() == [["dep", "dep"], None, None]
    assert frame["upos"].to_list()[1] == ["X", "X", "X"], f"the other labels stay ({kind})"


def test_a_corpus_without_trees_has_no_heads_and_nothing_to_warn_of(tmp_path: Path) -> None:
    frame = read_corpus(write(tmp_path, words("1 a _", "2 b _")))
    assert "head" not in frame.columns
    with pytest.raises(DataError, match=r"tasks.deps: there is no column 'head', or nothing is in it"):
        read_corpus(write(tmp_path, words("1 a _")), tasks={"deps": ["head", "deprel"]})


@given(st.lists(st.lists(st.integers(-1, 7), min_size=1, max_size=6), min_size=1, max_size=8))
def test_no_tree_is_what_walking_finds(sentences: list[list[int]]) -> None:
    def reaches(heads: list[int], word: int) -> bool:
        seen = set()
        while word != 0:
            if word in seen or not 1 <= word <= len(heads):
                return False
            seen.add(word)
            word = heads[word - 1]
        return True

    expected = [i for i, heads in enumerate(sentences) if not all(reaches(heads, w + 1) for w in range(len(heads)))]
    flat = np.array([head for heads in sentences for head in heads])
    assert no_tree(flat, np.array([len(heads) for heads in sentences])).tolist() == expected


@pytest.mark.skipif(DATA is None, reason="POLYTASK_DATA is not set")
def test_the_english_web_treebank_has_the_published_numbers() -> None:
    folder = Path(str(DATA)) / "ud_english_ewt"
    dev = read_corpus(folder / "en_ewt-ud-dev.conllu.gz")
    assert (dev.height, dev["words"].list.len().sum()) == (2001, 25_147)
    assert dev["lemma"].explode().null_count() == 26
    assert dev["upos"].explode().n_unique() == 17
    assert dev["head"].null_count() == 0
    assert dev["sent_id"].n_unique() == 2001
