"""Which parameters decay, and which learn more slowly than others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from polytask.nets.stacked import Stack


def parameter_groups(
    model: nn.Module, weight_decay: float, scales: Mapping[int, float] | None = None
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: weight matrices decay; biases, norms, embeddings and feature tokens do not.

    Decay would shrink the embedding of a rare category at every step, though only the rows that hold it renew it.

    :param weight_decay: of the groups that decay; the others have 0. Empty groups are left out.
    :param scales: ``id`` of a parameter -> factor on its learning rate, where that is not 1. Parameters of one factor
        are groups of their own, which hold it as ``lr_scale``.
    """
    stacked = {id(p) for module in model.modules() if isinstance(module, Stack) for p in module.parameters()}
    decaying = [
        parameter
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if name == "weight"
        and parameter.ndim > (2 if id(parameter) in stacked else 1)
        and not isinstance(module, nn.Embedding)
    ]
    known = {id(parameter) for parameter in decaying}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    factor = {id(parameter): (scales or {}).get(id(parameter), 1.0) for parameter in model.parameters()}
    return [
        {
            "params": [parameter for parameter in parameters if factor[id(parameter)] == scale],
            "weight_decay": decay,
            "lr_scale": scale,
        }
        for scale in sorted(set(factor.values()), reverse=True)
        for parameters, decay in ((decaying, weight_decay), (others, 0.0))
        if any(factor[id(parameter)] == scale for parameter in parameters)
    ]
