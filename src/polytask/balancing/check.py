"""The contract of a method, as checks that anyone can run on their own method."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from polytask.balancing.cases import Case, cases, looked_back
from polytask.balancing.contract import PAIRS, Combiner, Method, Need, State, Weigher
from polytask.balancing.laws import LAWS, BrokenPromiseError, fail
from polytask.balancing.methods import METHODS
from polytask.balancing.one_shot import answer


def check_method(method: str | Mapping[str, Any] | Method) -> None:
    """Put a method to the test: the contract, and every law that it promises, on hard inputs.

    It takes well under a second for a method that works on losses; call it in your own test suite.

    :param method: an instance, a name, ``"package.module:Class"``, or a mapping ``{"name": ..., field: value}``.
    :raises BrokenPromiseError: which law failed, and on which input. It is an ``AssertionError``, too.

    >>> check_method("gls")
    """
    chosen = METHODS.build(method)
    declared(chosen)
    for case in cases(chosen):
        for clause in CONTRACT:
            clause(chosen, case)
        for law in sorted(chosen.laws, key=lambda law: law.name):
            try:
                LAWS[law](chosen, case)
            except BrokenPromiseError as error:
                raise error.at(f"law {law.name} ({law.value})") from None


def declared(method: Method) -> None:
    """A frozen dataclass that says what it needs and what it promises."""
    cls = type(method)
    is_frozen = dataclasses.is_dataclass(cls) and vars(cls)["__dataclass_params__"].frozen
    facts = {
        "a frozen dataclass": is_frozen,
        "a Weigher or a Combiner": isinstance(method, Weigher | Combiner),
        "the class fact needs, a Need": isinstance(getattr(cls, "needs", None), Need),
        "the class fact laws, a frozenset of Law": isinstance(cls.laws, frozenset) and cls.laws <= set(LAWS),
    }
    for fact, holds in facts.items():
        if not holds:
            raise BrokenPromiseError(f"expected {fact}.", where=cls.__qualname__)


def answers_well(method: Method, case: Case) -> None:
    """The answer is finite, of the right shape, dtype and device, and carries no gradient."""
    for step, given, _, _ in _walk(method, case):
        like = case.losses
        shape = case.jacobians[step, 0].shape if isinstance(method, Combiner) else case.losses[step].shape
        facts = {
            f"the shape {tuple(shape)}": given.shape == shape,
            f"the dtype {like.dtype}": given.dtype == like.dtype,
            f"the device {like.device}": given.device == like.device,
            "finite numbers": bool(given.isfinite().all()),
            "an answer without gradient": not given.requires_grad,
        }
        for fact, holds in facts.items():
            if not holds:
                fail(method, case, step, fact, given)


def keeps_its_state(method: Method, case: Case) -> None:
    """The memory keeps its keys, and every tensor of it one row per task."""
    first = method.init(case.tasks, case.evidence(0, method.needs).like(method.needs))
    for step, _, _, after in _walk(method, case):
        for state in (first, after, method.epoch_end(after), looked_back(method, case, step, after)):
            if state.keys() != first.keys():
                fail(method, case, step, f"a memory with the keys {sorted(first)}", str(sorted(state)))
            for key, rows in state.items():
                if rows.ndim == 0 or len(rows) != len(case.tasks):
                    fail(method, case, step, f"one row per task in {key!r}", f"the shape {tuple(rows.shape)}")
                if key.startswith(PAIRS) and rows.shape != (len(case.tasks),) * 2:
                    fail(method, case, step, f"one number per pair in {key!r}", f"the shape {tuple(rows.shape)}")


def changes_nothing_given(method: Method, case: Case) -> None:
    """Neither the evidence nor the memory that was given is changed, nor is the global random generator."""
    for step, _, before, after in _walk(method, case):
        evidence = case.evidence(step, method.needs)
        given = {"losses": evidence.losses, "gramian": evidence.gramian, "jacobian": evidence.jacobian}
        watched = {name: tensor for name, tensor in given.items() if tensor is not None}
        watched |= {f"state[{key!r}]": rows for key, rows in before.items()}
        watched |= {f"state[{key!r}] at epoch_end": rows for key, rows in after.items()}
        watched["the global random generator"] = torch.get_rng_state()
        copies = {name: tensor.clone() for name, tensor in watched.items()}
        answer(method, evidence, before, _rng(step))
        method.epoch_end(after)
        looked_back(method, case, step, after)
        watched["the global random generator"] = torch.get_rng_state()
        for name, tensor in watched.items():
            if not torch.equal(tensor.nan_to_num(), copies[name].nan_to_num()):
                fail(method, case, step, f"{name} left as it was given", "it changed in place")


def replays(method: Method, case: Case) -> None:
    """Equal evidence, memory and seed give the same answer and the same memory."""
    pairs = zip(_walk(method, case), _walk(method, case), strict=True)
    for (step, given, _, after), (_, again, _, after_again) in pairs:
        same = all(torch.equal(after[key].nan_to_num(), after_again[key].nan_to_num()) for key in after)
        if not torch.equal(given, again) or not same:
            fail(method, case, step, "the same answer again", again)


CONTRACT: tuple[Callable[[Method, Case], None], ...] = (
    answers_well,
    keeps_its_state,
    changes_nothing_given,
    replays,
)


def _walk(method: Method, case: Case) -> list[tuple[int, Tensor, State, State]]:
    """Step, answer, memory before and memory after; an epoch ends after every second step."""
    steps = []
    state = method.init(case.tasks, case.evidence(0, method.needs).like(method.needs))
    for step in range(len(case.losses)):
        given, after = answer(method, case.evidence(step, method.needs), state, _rng(step))
        steps.append((step, given, state, after))
        after = looked_back(method, case, step, after)
        state = method.epoch_end(after) if step % 2 else after
    return steps


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
