"""Which parameters decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from polytask.nets.stacked import Stack


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: weight matrices decay; biases, norms, embeddings and feature tokens do not.

    Decay would shrink the embedding of a rare category at every step, though only the rows that hold it renew it.

    :param weight_decay: of the group that decays; the other group has 0. Empty groups are left out.
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
    groups: list[dict[str, Any]] = [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
