"""Main and auxiliary tasks, by name, for methods that let auxiliary tasks serve the main ones."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.errors import ConfigError


def check_main(main: tuple[str, ...]) -> None:
    """Refuse an empty or repeated list of main tasks.

    :raises ConfigError: with what was found.
    """
    if not main or len(set(main)) != len(main):
        raise ConfigError(f"expected the names of one main task or more, each once, found {list(main)}.", where="main")


def is_main(main: tuple[str, ...], tasks: tuple[str, ...], like: Tensor) -> Tensor:
    """``(T,)`` bool: which of ``tasks`` are main tasks."""
    return torch.tensor([task in main for task in tasks], device=like.device)
