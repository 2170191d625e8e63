"""What methods promise, as checks: one function per :class:`~polytask.balancing.contract.Law`.

The same checks are the tests of the shipped methods and, through :func:`~polytask.balancing.check.check_method`,
of everybody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import torch
from torch import Tensor

from polytask.balancing.cases import Case, play
from polytask.balancing.contract import Combiner, Law, Method
from polytask.errors import PolytaskError

FACTORS = (16.0, 1e-3)


class BrokenPromiseError(PolytaskError, AssertionError):
    """A method breaks the contract, or a law that it promises."""


def simplex(method: Method, case: Case) -> None:
    """Weights are non-negative and sum to 1."""
    _sums_to(1.0, method, case)


def sum_t(method: Method, case: Case) -> None:
    """Weights are non-negative and sum to T."""
    _sums_to(float(len(case.tasks)), method, case)


def positive(method: Method, case: Case) -> None:
    """Weights are positive."""
    for step, w in play(method, case):
        if not bool((w > 0).all()):
            fail(method, case, step, "weights above 0", w)


def equivariant(method: Method, case: Case) -> None:
    """Permuting the tasks permutes the weights (and leaves an update alone)."""
    order = list(reversed(range(len(case.tasks))))
    order = order[1:] + order[:1]
    pairs = zip(play(method, case), play(method, case.permuted(order)), strict=True)
    for (step, plain), (_, permuted) in pairs:
        expected = plain if isinstance(method, Combiner) else plain[order]
        if not near(permuted, expected, size=_size(method, case, step)):
            fail(method, case, step, f"with the tasks in the order {order}: {_short(expected)}", permuted)


def scale_free(method: Method, case: Case) -> None:
    """Rescaling all losses by one factor leaves the weights alone (and rescales an update by it)."""
    for factor in FACTORS:
        larger = case.scaled(torch.full_like(case.losses[0], factor))
        for (step, plain), (_, scaled) in zip(play(method, case), play(method, larger), strict=True):
            expected = plain * factor if isinstance(method, Combiner) else plain
            if not near(scaled, expected, size=factor * _size(method, case, step)):
                fail(method, case, step, f"with all losses times {factor}: {_short(expected)}", scaled)


def task_scale_free(method: Method, case: Case) -> None:
    """Rescaling one task's loss by c divides its weight by c: the update does not change."""
    factors = torch.ones_like(case.losses[0])
    for factor in FACTORS:
        factors[0] = factor
        for (step, plain), (_, scaled) in zip(play(method, case), play(method, case.scaled(factors)), strict=True):
            expected = plain if isinstance(method, Combiner) else plain / factors
            if not near(scaled, expected, size=_size(method, case, step)):
                fail(method, case, step, f"with the first loss times {factor}: {_short(expected)}", scaled)


def non_conflicting(method: Method, case: Case) -> None:
    """No task's loss rises to first order: ``J d >= 0`` for the update d."""
    for step, given in play(method, case):
        J = case.jacobians[step]
        d = given if isinstance(method, Combiner) else given @ J
        room = tolerance(d.dtype) * J.norm(dim=1) * d.norm()
        if not bool((J @ d >= -room).all()):
            fail(method, case, step, "inner products of update and task gradients of 0 or more", J @ d)


LAWS: Mapping[Law, Callable[[Method, Case], None]] = {
    Law.SIMPLEX: simplex,
    Law.SUM_T: sum_t,
    Law.POSITIVE: positive,
    Law.EQUIVARIANT: equivariant,
    Law.SCALE_FREE: scale_free,
    Law.TASK_SCALE_FREE: task_scale_free,
    Law.NON_CONFLICTING: non_conflicting,
}


def near(found: Tensor, expected: Tensor, size: float = 0.0) -> bool:
    """Equal up to rounding, entry by entry, or next to the largest entry or to ``size``, that of what was added up."""
    room = tolerance(expected.dtype)
    scale = max(float(expected.abs().max()) if expected.numel() else 0.0, size)
    return torch.allclose(found, expected, rtol=room, atol=room * min(scale, 1.0))


def tolerance(dtype: torch.dtype) -> float:
    """The relative error that a check forgives."""
    return 1e-7 if dtype == torch.float64 else 1e-4


def fail(method: Method, case: Case, step: int, expected: str, found: Tensor | str) -> NoReturn:
    """Say what was promised, what came, and on which input.

    :raises BrokenPromiseError: always.
    """
    text = found if isinstance(found, str) else _short(found)
    raise BrokenPromiseError(
        f"expected {expected}; found {text}.",
        where=f"{method!r}, case {case.name!r}, step {step} of {len(case.losses)}",
        do=f"The losses there are {_short(case.losses[step])}.",
    )


def _size(method: Method, case: Case, step: int) -> float:
    """Size of what an update is added up from: gradients, or gradients of log-losses where those are smaller."""
    if not isinstance(method, Combiner):
        return 0.0
    largest = case.jacobians[step].abs().amax(1)
    return float(torch.minimum(largest, largest / case.losses[step]).nan_to_num(nan=0.0).max())


def _sums_to(total: float, method: Method, case: Case) -> None:
    for step, w in play(method, case):
        if not bool((w >= 0).all()) or abs(float(w.sum()) - total) > tolerance(w.dtype) * total:
            fail(method, case, step, f"weights of 0 or more that sum to {total:g}", w)


def _short(values: Tensor) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values.flatten()[:6].tolist())
    return f"[{shown}{', ...' if values.numel() > 6 else ''}]"
