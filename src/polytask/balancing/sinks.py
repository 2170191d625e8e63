"""Where task gradients are taken: the tensors that the user named, checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from polytask.errors import UserError


def shared_parameters(shared: Iterable[Tensor] | None, method: str) -> list[Tensor]:
    """The shared parameters that are trained, each once.

    :raises UserError: none given, none that is trained, or a tensor that was computed from others.
    """
    if shared is None:
        raise UserError(
            f"the balancer {method!r} compares the tasks' gradients on the shared parameters, and none were given.",
            where="shared",
            do="Call balancer.backward(losses, shared=trunk.parameters()).",
        )
    if isinstance(shared, Tensor):
        raise UserError("expected an iterable of parameters, found one tensor.", where="shared", do="Pass [tensor].")
    found = {id(parameter): parameter for parameter in shared if parameter.requires_grad}
    if not found:
        raise UserError(
            "expected at least one parameter that requires a gradient, found none.",
            where="shared",
            do="Is the iterator used up, or the whole trunk frozen? A frozen trunk needs no gradient balancing: use "
            "'equal'.",
        )
    for parameter in found.values():
        if not parameter.is_leaf:
            raise UserError(
                f"expected parameters, found a tensor of the shape {tuple(parameter.shape)} that was computed from "
                "others.",
                where="shared",
                do='Use Balancer(..., on="features") and pass features= for gradients at a computed tensor.',
            )
    return list(found.values())


def feature_tensors(features: Tensor | Sequence[Tensor] | None, method: str) -> list[Tensor]:
    """The features, each once.

    :raises UserError: none given, or one that no gradient can flow through.
    """
    if features is None:
        raise UserError(
            f"the balancer {method!r} works on features, and none were given.",
            where="features",
            do="Call balancer.backward(losses, features=z) with the tensor that the heads read.",
        )
    listed = [features] if isinstance(features, Tensor) else list(features)
    found = {id(tensor): tensor for tensor in listed}
    if not found:
        raise UserError("expected at least one tensor, found none.", where="features")
    for tensor in found.values():
        if not tensor.requires_grad:
            raise UserError(
                f"expected features with a gradient, found a tensor of the shape {tuple(tensor.shape)} without.",
                where="features",
                do="Do not detach the features, and compute them outside torch.no_grad().",
            )
    return list(found.values())
