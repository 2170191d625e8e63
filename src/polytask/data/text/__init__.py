"""Texts as data: from columns of words to tokens, labels of words and lists, and batches of windows."""

from polytask.data.text.schema import TextSchema
from polytask.data.text.store import TokenStore
from polytask.data.text.texts import Texts

__all__ = ["TextSchema", "Texts", "TokenStore"]
