"""What methods promise, as checks: one function per :class:`~polytask.balancing.contract.Law`.

The same checks are the tests of the shipped methods and, through :func:`~polytask.balancing.check.check_method`,
of everybody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from polytask.balancing.cases import Case, moments, play
from polytask.balancing.contract import Combiner, Law, Method
from polytask.errors import PolytaskError
from polytask.maths.gramian import nearest_psd
from polytask.maths.simplex import min_norm

FACTORS = (16.0, 1e-3)
RESIDUAL = 1e-9
VANISHING = 1e-6
"""Length over which an update, in units of its parts, is more than rounding."""


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
        d, size = _update(method, given, J)
        room = tolerance(d.dtype) * J.norm(dim=1) * size
        if not bool((J @ d >= -room).all()):
            fail(method, case, step, "inner products of update and task gradients of 0 or more", J @ d)


def direction_scale_free(method: Method, case: Case) -> None:
    """Rescaling one task's loss leaves the direction of the update alone."""
    factors = torch.ones_like(case.losses[0])
    for factor in FACTORS:
        factors[0] = factor
        larger = case.scaled(factors)
        for (step, plain), (_, scaled) in zip(play(method, case), play(method, larger), strict=True):
            d, size = _update(method, plain, case.jacobians[step])
            e, _ = _update(method, scaled, larger.jacobians[step])
            if d.norm() <= VANISHING * size:
                continue  # nothing but rounding
            if not near(e / e.norm(), d / d.norm()):
                fail(method, case, step, f"with the first loss times {factor} the direction {_short(d / d.norm())}", e)


def linear(method: Method, case: Case) -> None:
    """Rescaling losses by ``a + b`` gives the sum of the updates for a and for b."""
    a = torch.ones_like(case.losses[0])
    b = torch.linspace(0.1, 3.0, len(a), dtype=a.dtype)
    parts = (case.scaled(a), case.scaled(b), case.scaled(a + b))
    for (step, x), (_, y), (_, z) in zip(*(play(method, part) for part in parts), strict=True):
        (d, _), (e, _), (both, size) = (
            _update(method, given, part.jacobians[step]) for given, part in zip((x, y, z), parts, strict=True)
        )
        if not bool(((both - d - e).abs() <= tolerance(d.dtype) * size).all()):
            fail(method, case, step, f"for a + b the update {_short(d + e)}", both)


def equal_projection(method: Method, case: Case) -> None:
    """All unit gradients that are not zero have one projection on the update, above 0, if they are independent."""
    for step, given in play(method, case):
        J = case.jacobians[step]
        U = _units(J)
        if not len(U) or float(torch.linalg.eigvalsh(U @ U.T)[0]) < VANISHING:
            continue
        d, size = _update(method, given, J)
        projections = U @ d
        if float(projections.max() - projections.min()) > tolerance(d.dtype) * size or not bool(
            (projections > 0).all()
        ):
            fail(method, case, step, "one projection above 0 on all unit gradients", projections)


def bargain(method: Method, case: Case) -> None:
    """Weight times gain is the same for every task whose gradient is not zero, if some direction serves all."""
    for step, given in play(method, case):
        J = case.jacobians[step]
        U = _units(J)
        if not len(U) or nearest_to_zero(U) < 1e-3:
            continue
        gains = (given * (J @ (given @ J)))[J.norm(dim=1) > 0]
        if not near(gains, gains.mean().expand_as(gains)):
            fail(method, case, step, "equal products of weight and gain", gains)


def exact(method: Method, case: Case) -> None:
    """The optimality conditions hold to 1e-9, as the method measures them itself."""
    if case.losses.dtype != torch.float64:
        return
    for moment in moments(method, case):
        residual = method.residual(moment.evidence, moment.before, moment.given)
        if residual > RESIDUAL:
            fail(method, case, moment.step, f"a residual of at most {RESIDUAL}", f"{residual:.3g}")


LAWS: Mapping[Law, Callable[[Method, Case], None]] = {
    Law.SIMPLEX: simplex,
    Law.SUM_T: sum_t,
    Law.POSITIVE: positive,
    Law.EQUIVARIANT: equivariant,
    Law.SCALE_FREE: scale_free,
    Law.TASK_SCALE_FREE: task_scale_free,
    Law.NON_CONFLICTING: non_conflicting,
    Law.DIRECTION_SCALE_FREE: direction_scale_free,
    Law.LINEAR: linear,
    Law.EQUAL_PROJECTION: equal_projection,
    Law.BARGAIN: bargain,
    Law.EXACT: exact,
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


def nearest_to_zero(vectors: Tensor) -> float:
    """Length of the shortest convex combination of the rows."""
    U = vectors.double()
    w = torch.from_numpy(min_norm(nearest_psd((U @ U.T).numpy()), np.ones(len(U))))
    return float((w @ U).norm())


def _update(method: Method, given: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """The update, and the size that it would have if nothing in it cancelled: rounding is relative to that."""
    if isinstance(method, Combiner):
        return given, given.norm()
    return given @ jacobian, given.abs() @ jacobian.norm(dim=1)


def _units(jacobian: Tensor) -> Tensor:
    """The rows at length 1; zero rows are left out."""
    rows = jacobian[jacobian.norm(dim=1) > 0]
    return torch.nn.functional.normalize(rows, eps=0.0)


def _sums_to(total: float, method: Method, case: Case) -> None:
    for step, w in play(method, case):
        if not bool((w >= 0).all()) or abs(float(w.sum()) - total) > tolerance(w.dtype) * total:
            fail(method, case, step, f"weights of 0 or more that sum to {total:g}", w)


def _short(values: Tensor) -> str:
    shown = ", ".join(f"{value:.6g}" for value in values.flatten()[:6].tolist())
    return f"[{shown}{', ...' if values.numel() > 6 else ''}]"
