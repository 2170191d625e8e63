"""The files of a pretrained model: its configuration and its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polytask.errors import ConfigError, MissingExtraError, did_you_mean

if TYPE_CHECKING:
    import tokenizers

SPECIAL = ("pad_token", "unk_token", "mask_token", "sep_token")
SLOW = ("vocab.txt", "vocab.json")
"""Files of tokenizers that transformers can make fast."""
NO_LIMIT = 1_000_000
"""Tokenizers without a limit say so by a huge one."""


@dataclass(frozen=True)
class Pretrained:
    """What is read of a pretrained model.

    :param place: folder or name, for messages. :param config: of the model. :param tokenizer: the fast tokenizer.
    :param special: name of a special token -> the token. :param longest: most tokens of a text; 0 if unknown.
    """

    place: str
    config: dict[str, Any]
    tokenizer: tokenizers.Tokenizer
    special: dict[str, str]
    longest: int


def load_pretrained(model: str) -> Pretrained:
    """Configuration and tokenizer of a model.

    :param model: a folder, or a name on the hub; a name needs a network unless it was downloaded before.
    :raises ConfigError: no such folder, or files that are missing or damaged.
    :raises MissingExtraError: the libraries are not installed.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _from_folder(folder)
    if folder.is_file():
        raise ConfigError("expected the folder of a model, found a file.", where=model, do="Give its folder.")
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        nearby = [entry.name for entry in folder.parent.iterdir() if entry.is_dir()] if folder.parent.is_dir() else []
        raise ConfigError("there is no such model folder.", where=model, do=did_you_mean(folder.name, nearby))
    return _through_transformers(model)


def _from_folder(folder: Path) -> Pretrained:
    if not (folder / "config.json").is_file():
        raise ConfigError(
            "there is no config.json in the model folder.",
            where=str(folder),
            do="Give the folder that model.save_pretrained(...) and tokenizer.save_pretrained(...) wrote to.",
        )
    if not (folder / "tokenizer.json").is_file():
        if not any(entry.name in SLOW or entry.suffix == ".model" for entry in folder.iterdir()):
            raise ConfigError(
                "there is no tokenizer in the model folder.",
                where=str(folder),
                do=f"Expected tokenizer.json ({', '.join(SLOW)} or a SentencePiece model will do) beside config.json.",
            )
        return _through_transformers(str(folder))
    settings = _json(folder / "special_tokens_map.json") | _json(folder / "tokenizer_config.json")
    special = {name: _token(settings[name]) for name in SPECIAL if settings.get(name)}
    return Pretrained(
        str(folder),
        _json(folder / "config.json"),
        _load(folder / "tokenizer.json"),
        special,
        _limit(settings.get("model_max_length")),
    )


def _load(path: Path) -> tokenizers.Tokenizer:
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError("tokenizers", "text", "A pretrained tokenizer") from None
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise ConfigError(f"the tokenizer cannot be read: {error}.", where=str(path)) from None


def _through_transformers(model: str) -> Pretrained:
    """Slow tokenizers are converted by transformers, and names are looked up on the hub."""
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("transformers", "text", "A pretrained tokenizer") from None
    try:
        config = transformers.AutoConfig.from_pretrained(model)
        tokenizer: Any = transformers.AutoTokenizer.from_pretrained(model, use_fast=True)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        local = Path(model).is_dir()
        raise ConfigError(
            f"the tokenizer cannot be loaded: {reason}" if local else f"no such model: {reason}",
            where=model,
            do="Save it again with tokenizer.save_pretrained(...)."
            if local
            else "Give the folder of a model, or check its name and the network.",
        ) from None
    if not tokenizer.is_fast:
        raise ConfigError(
            f"there is only a slow tokenizer ({type(tokenizer).__name__}).",
            where=model,
            do="Convert it to a fast one: save it with a tokenizer.json beside the model.",
        )
    special = {name: str(token) for name in SPECIAL if (token := getattr(tokenizer, name)) is not None}
    longest = _limit(tokenizer.model_max_length)
    return Pretrained(model, config.to_dict(), tokenizer.backend_tokenizer, special, longest)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"the file is no JSON: {error}.", where=str(path)) from None
    if not isinstance(found, dict):
        raise ConfigError("expected a mapping.", where=str(path))
    return found


def _token(value: Any) -> str:
    """A special token, which is written as text or as a mapping with its content."""
    return str(value["content"]) if isinstance(value, dict) else str(value)


def _limit(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < NO_LIMIT else 0
