"""Corpora of texts: treebanks, columns of labels, JSON lines, saved data sets, as frames of lists."""

from polytask.data.corpora.reading import FORMATS, read_corpus

__all__ = ["FORMATS", "read_corpus"]
