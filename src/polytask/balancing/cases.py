"""Hard inputs on purpose: evidence of several steps that methods are put to the test with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from polytask.balancing.contract import Evidence, Method, Need, State
from polytask.balancing.one_shot import answer

STEPS = 6
EPOCH = 2
"""An epoch ends after every second step, so that methods that work on epochs have something to work on."""


@dataclass(frozen=True)
class Case:
    """What T tasks show in a few steps.

    :param name: what is hard about it.
    :param tasks: T names.
    :param losses: ``(steps, T)``.
    :param jacobians: ``(steps, T, P)``: gradients of the losses.
    """

    name: str
    tasks: tuple[str, ...]
    losses: Tensor
    jacobians: Tensor

    def scaled(self, factors: Tensor) -> Case:
        """Every task's loss, and thus its gradient, times its factor ``(T,)``."""
        return replace(self, losses=self.losses * factors, jacobians=self.jacobians * factors[:, None])

    def permuted(self, order: Sequence[int]) -> Case:
        """The tasks in another order."""
        rows = list(order)
        names = tuple(self.tasks[row] for row in rows)
        return replace(self, tasks=names, losses=self.losses[:, rows], jacobians=self.jacobians[:, rows])

    def evidence(self, step: int, need: Need) -> Evidence:
        """What a method of this need sees at one step."""
        jacobian = self.jacobians[step]
        return Evidence(
            self.losses[step],
            jacobian @ jacobian.T if need >= Need.GRAMIAN else None,
            jacobian if need >= Need.JACOBIAN else None,
        )


@dataclass(frozen=True)
class Moment:
    """One step of a method through a case.

    :param before: the memory that it was given.
    :param given: its answer: weights or update.
    """

    step: int
    evidence: Evidence
    before: State
    given: Tensor


def play(method: Method, case: Case) -> Iterator[tuple[int, Tensor]]:
    """Step and answer of a method that goes through a case from the start, with its memory."""
    return ((moment.step, moment.given) for moment in moments(method, case))


def moments(method: Method, case: Case) -> Iterator[Moment]:
    """All that happens while a method goes through a case."""
    state: State = method.init(case.tasks, case.evidence(0, method.needs).like(method.needs))
    rng = torch.Generator().manual_seed(0)
    for step in range(len(case.losses)):
        evidence = case.evidence(step, method.needs)
        given, after = answer(method, evidence, state, rng)
        yield Moment(step, evidence, state, given)
        state = looked_back(method, case, step, after)
        if (step + 1) % EPOCH == 0:
            state = method.epoch_end(state)


def looked_back(method: Method, case: Case, step: int, state: State) -> State:
    """The memory after a method has seen the losses of the next step, as if they were this batch's after the step."""
    return method.look_back(case.losses[(step + 1) % len(case.losses)], state) if method.looks_back else state


def cases(method: Method) -> Iterator[Case]:
    """The cases that a method must survive; losses stay in its domain."""
    others = () if method.mentions_all else tuple(f"task{t}" for t in range(40))
    names = (*sorted(method.mentions()), *others)
    most = len(names)
    yield _draw("four tasks", names[: min(4, most)], seed=1)
    yield _draw("one task", names[:1], seed=2)
    yield _draw("two tasks", names[: min(2, most)], seed=3)
    yield _draw("many tasks, more than parameters", names, seed=4, P=7)
    yield _draw("float32", names[: min(4, most)], seed=5, dtype=torch.float32)
    plain = _draw("", names[: min(4, most)], seed=6)
    T = len(plain.tasks)
    yield replace(plain.scaled(torch.full((T,), 1e-10, dtype=torch.float64)), name="losses near 1e-10")
    yield replace(plain.scaled(torch.full((T,), 1e10, dtype=torch.float64)), name="losses near 1e10")
    spread = torch.logspace(-6, 6, T, dtype=torch.float64)
    yield replace(plain.scaled(spread), name="losses from 1e-6 to 1e6")
    same = plain.permuted([0] * T)
    yield replace(same, name="identical tasks", tasks=plain.tasks)
    signs = torch.tensor([(-1.0) ** t for t in range(T)], dtype=torch.float64)
    yield replace(same, name="opposite gradients", tasks=plain.tasks, jacobians=same.jacobians * signs[:, None])
    still = torch.ones(T, dtype=torch.float64)
    still[0] = 0.0
    yield replace(plain, name="a gradient of zero", jacobians=plain.jacobians * still[:, None])
    if method.domain != "positive":
        yield replace(plain.scaled(still), name="a loss of zero")


def _draw(name: str, tasks: tuple[str, ...], *, seed: int, P: int = 50, dtype: torch.dtype = torch.float64) -> Case:
    rng = torch.Generator().manual_seed(seed)
    T = len(tasks)
    losses = torch.rand(STEPS, T, generator=rng, dtype=dtype) + 0.1
    jacobians = torch.randn(STEPS, T, P, generator=rng, dtype=dtype)
    return Case(name, tasks, losses, jacobians)
