"""Learning rates of parts: layer-wise decay."""

from __future__ import annotations

from torch import nn

from polytask.nets.encoders.encoder import Part


def rates(model: nn.Module) -> dict[int, float]:
    """``id`` of a parameter -> factor on its learning rate, for those of the parts of encoders that have one.

    Parts keep their factor under every way of sharing: copies, stacks and trunks hold the parts themselves.
    """
    return {
        id(parameter): part.lr_scale
        for part in model.modules()
        if isinstance(part, Part) and part.lr_scale != 1
        for parameter in part.parameters()
    }
