"""Vocabularies read back from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polytask.errors import ConfigError, did_you_mean
from polytask.tokens.huggingface import HFVocabulary
from polytask.tokens.vocabulary import Vocabulary
from polytask.tokens.words import WordVocabulary

VOCABULARIES: Mapping[str, type[Vocabulary]] = {kind.kind: kind for kind in (WordVocabulary, HFVocabulary)}


def read_vocabulary(mapping: Mapping[str, Any], *, where: str = "vocabulary") -> Vocabulary:
    """What :meth:`Vocabulary.to_json` wrote.

    :raises ConfigError: of an unknown kind, incomplete, or of wrong types.
    """
    kind = str(mapping.get("kind"))
    if kind not in VOCABULARIES:
        raise ConfigError(f"unknown kind {kind!r}.", where=where, do=did_you_mean(kind, VOCABULARIES))
    try:
        return VOCABULARIES[kind].from_json(mapping)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the vocabulary is damaged: {error!r}.", where=where, do="Save the model again.") from None
