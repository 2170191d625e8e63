"""Weights by name, copied out of a model and into it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from polytask.errors import RunError, did_you_mean


def copied(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies that share no memory, as safetensors wants them."""
    return {key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in named.items()}


def copy_into(named: Mapping[str, Tensor], state: Mapping[str, Tensor], *, ignore: tuple[str, ...] = ()) -> None:
    """Copy ``state`` into tensors of the same names; nothing is copied when anything does not fit.

    :param ignore: prefixes of keys that ``state`` may hold in vain.
    :raises polytask.errors.RunError: a weight is missing, left over, or of another shape.
    """
    do = "These weights belong to a model of other tasks, columns or options; load them with their own configuration."
    for key, value in named.items():
        if key not in state:
            raise RunError(f"the weight {key!r} is missing. {did_you_mean(key, state)}", where="weights", do=do)
        if state[key].shape != value.shape:
            raise RunError(
                f"expected the shape {tuple(value.shape)}, found {tuple(state[key].shape)}.",
                where=f"weights: {key}",
                do=do,
            )
    for key in state:
        if key not in named and not key.startswith(ignore):
            raise RunError(f"the model has no weight {key!r}. {did_you_mean(key, named)}", where="weights", do=do)
    with torch.no_grad():
        for key, value in named.items():
            value.copy_(state[key])
