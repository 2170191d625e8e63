"""Pretrained models from their files, or fresh ones of the same shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from polytask.errors import ConfigError, MissingExtraError
from polytask.nets.encoders.hf_families import Family


def loaded(place: str, family: Family) -> Any:
    """The model with its pretrained weights, in 32 bits.

    :param place: a folder, or a name on the hub.
    :raises polytask.errors.ConfigError: there is no such model, or its files cannot be read.
    """
    library = _library()
    is_folder = Path(place).is_dir()
    if not is_folder and (Path(place).is_absolute() or place.startswith((".", "~"))):
        raise ConfigError("there is no such model folder.", where="model", do=f"Looked for {place}.")
    with _quiet(library):
        try:
            return getattr(library, family.network).from_pretrained(
                place,
                local_files_only=is_folder,
                attn_implementation=family.attention,
                dtype=torch.float32,
                **family.options,
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ConfigError(
                f"the model {place!r} cannot be loaded: {reason}",
                where="model",
                do="Expected config.json beside model.safetensors." if is_folder else "Give the folder of a model.",
            ) from None


def fresh(config: dict[str, Any], family: Family) -> Any:
    """A model of this shape; weights are drawn from torch's global generator."""
    library = _library()
    own = {key: value for key, value in config.items() if key not in {"model_type", "architectures"}}
    settings = library.AutoConfig.for_model(config["model_type"], **own)
    settings._attn_implementation = family.attention
    with _quiet(library):
        return getattr(library, family.network)(settings, **family.options)


@contextmanager
def _quiet(library: ModuleType) -> Iterator[None]:
    """Without the library's reports on weights that are left over: heads of pretraining are."""
    logging = library.utils.logging
    before, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if shown:
            logging.enable_progress_bar()


def _library() -> ModuleType:
    try:
        import transformers
    except ImportError:
        raise MissingExtraError("transformers", "text", "A pretrained encoder") from None
    return transformers
