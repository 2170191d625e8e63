"""The mathematics of a method in one call, without a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from polytask.balancing import losses as door
from polytask.balancing.contract import Combiner, Evidence, Method, Need, State, Weigher
from polytask.balancing.methods import METHODS
from polytask.errors import UserError


def weigh(
    method: str | Mapping[str, Any] | Method,
    *,
    losses: Tensor | Sequence[float] | None = None,
    gramian: Tensor | None = None,
    jacobian: Tensor | None = None,
    tasks: Sequence[str] | None = None,
    state: State | None = None,
    seed: int = 0,
) -> Tensor:
    """The answer of a method to evidence: weights ``(T,)``, or the update ``(P,)`` of a method that combines.

    :param method: a name, a mapping ``{"name": ..., field: value}``, or an instance.
    :param losses: ``(T,)``; optional for a method that looks at gradients.
    :param gramian: ``(T, T)``, inner products of the task gradients; taken from ``jacobian`` when that is given.
    :param jacobian: ``(T, P)``, the task gradients.
    :param tasks: names, for methods that know tasks by name; default "0", "1", ...
    :param state: what the method remembers; default: nothing yet.
    :param seed: seed of the method's random numbers.
    :raises UserError: evidence that the method needs is missing, or of another shape.

    >>> weigh("gls", losses=[1.0, 4.0])
    tensor([1.0000, 0.2500])
    """
    chosen = METHODS.build(method)
    evidence = _evidence(chosen, losses, gramian, jacobian)
    names = tuple(tasks) if tasks is not None else tuple(str(t) for t in range(len(evidence.losses)))
    if len(names) != len(evidence.losses):
        raise UserError(f"expected {len(evidence.losses)} task names, found {len(names)}.", where="tasks")
    if losses is not None:
        door.check(names, evidence.losses, chosen, METHODS.name_of(chosen))
    before = chosen.init(names, evidence.like(chosen.needs)) if state is None else state
    return answer(chosen, evidence, before, torch.Generator().manual_seed(seed))[0]


def answer(method: Method, evidence: Evidence, state: State, rng: torch.Generator) -> tuple[Tensor, State]:
    """Weights or update, and the next memory, whichever kind of method it is.

    :raises UserError: the class is neither a weigher nor a combiner.
    """
    if isinstance(method, Weigher):
        return method.weigh(evidence, state, rng)
    if isinstance(method, Combiner):
        return method.combine(evidence, state, rng)
    raise UserError(f"{type(method).__name__} derives from neither Weigher nor Combiner.")


def _evidence(
    method: Method, losses: Tensor | Sequence[float] | None, gramian: Tensor | None, jacobian: Tensor | None
) -> Evidence:
    if jacobian is not None and gramian is None:
        gramian = jacobian @ jacobian.T
    given = {Need.LOSSES: losses, Need.GRAMIAN: gramian, Need.JACOBIAN: jacobian}
    if given[method.needs] is None:
        raise UserError(f"{type(method).__name__} needs {method.needs.name.lower()}=..., which was not given.")
    if losses is not None:
        values = torch.as_tensor(losses).detach()
        values = values if values.is_floating_point() else values.to(torch.get_default_dtype())
    elif gramian is not None:
        values = gramian.new_full((len(gramian),), float("nan"))  # a method that peeks at losses shows it
    else:
        values = torch.empty(0)
    T = len(values) if values.ndim == 1 else 0
    shapes = {
        "losses": tuple(values.shape),
        "gramian": (T, T) if gramian is None else tuple(gramian.shape),
        "jacobian": (T, 0) if jacobian is None else tuple(jacobian.shape),
    }
    if T == 0 or shapes["gramian"] != (T, T) or len(shapes["jacobian"]) != 2 or shapes["jacobian"][0] != T:
        raise UserError(f"expected the shapes (T,), (T, T) and (T, P) with T >= 1, found {shapes}.")
    return Evidence(values, gramian, jacobian)
