"""Texts as codes: words, pieces of words, and windows of tokens that encoders read."""

from polytask.catalogue import Catalogue
from polytask.tokens.huggingface import HFTokenizer, HFVocabulary
from polytask.tokens.splitting import split_words
from polytask.tokens.tokenizer import Tokenizer
from polytask.tokens.vocabulary import Encoded, Vocabulary
from polytask.tokens.words import WordTokenizer, WordVocabulary

TOKENIZERS: Catalogue[Tokenizer] = Catalogue(
    "tokenizer",
    Tokenizer,  # type: ignore[type-abstract]  # mypy refuses abstract bases as values
    {"words": WordTokenizer, "hf": HFTokenizer},
)

__all__ = [
    "TOKENIZERS",
    "Encoded",
    "HFTokenizer",
    "HFVocabulary",
    "Tokenizer",
    "Vocabulary",
    "WordTokenizer",
    "WordVocabulary",
    "split_words",
]
