"""Which gatherer serves a step, and what becomes of the answer."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from polytask.balancing.contract import Need
from polytask.balancing.engine import batched, known, sequential
from polytask.balancing.engine.cost import walk_pays
from polytask.balancing.engine.deliver import Backward, deliver, factor_of
from polytask.balancing.engine.gathered import Gathered, Rows, gramian_of
from polytask.balancing.engine.guard import Guard
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given
from polytask.errors import UserError


@dataclass(frozen=True)
class Ranks:
    """Several processes that hold different rows of one batch.

    Every process calls :meth:`Balancer.backward` with the same tasks in the same order. Its loss of a task is scaled so
    that the mean over processes is the loss of the joint batch, in value on every process and in gradient on average
    (a process without rows of a task brings a loss of which the gradient is 0). Gradients in ``.grad`` are averaged
    over processes afterwards, as for any model.

    :param size: how many there are.
    :param mean: the mean of a tensor over all of them, on all of them.
    """

    size: int
    mean: Callable[[Tensor], Tensor]

    def agree(self, names: tuple[str, ...], like: Tensor) -> None:
        """All processes must see the same tasks, or they would wait for one another for ever.

        :raises UserError: on all of them, if they do not.
        """
        mark = float(zlib.crc32("\n".join(names).encode()) % 2**20)
        first, second = self.mean(torch.tensor([mark, mark * mark], dtype=torch.float64, device=like.device)).tolist()
        if second - first * first > 0.1:
            raise UserError(
                f"expected the same tasks in the same order on every process, found {', '.join(names)} here and others "
                "elsewhere.",
                where="losses",
                do="Give a loss of which the gradient is 0, (outputs * 0).sum(), where a process has no row of a task.",
            )


@dataclass(frozen=True)
class Way:
    """How one step goes backwards.

    :param scale: a factor on everything that is added to ``.grad``.
    :param backward: what is called instead of ``total.backward()``.
    :param factor: what ``backward`` multiplies a total by: the scale of a gradient scaler, else 1.
    :param value: the summed loss, for a ``backward`` that looks at it.
    :param ranks: the other processes, if there are any.
    """

    scale: float
    backward: Backward | None
    factor: float
    value: Tensor
    ranks: Ranks | None

    @classmethod
    def of(cls, scale: float, backward: Backward | None, losses: Tensor, ranks: Ranks | None) -> Way:
        """The way for these losses ``(T,)``; asks ``backward`` for its factor."""
        several = ranks if ranks is not None and ranks.size > 1 else None
        return cls(scale, backward, factor_of(backward, losses), losses.sum(), several)

    @property
    def is_scaled(self) -> bool:
        """Whether there is a gradient scaler, which handles gradients that are not finite by itself."""
        return self.factor != 1.0


Mode: TypeAlias = Literal["auto", "keep", "forget", "sequential"]
MODES: tuple[str, ...] = get_args(Mode)


class Engine:
    """Gathers task gradients and delivers updates, for one balancer.

    :param mode: ``"keep"``: one batched walk, factors kept for the update; ``"forget"``: one walk for the Gramian
        alone, then an ordinary backward pass; ``"sequential"``: one ordinary pass per task; ``"auto"`` chooses.
    :param memory: bytes that may be kept beside the graph; ``"keep"`` turns into ``"forget"`` beyond it.
    """

    def __init__(self, mode: Mode = "auto", memory: int | None = None) -> None:
        self.mode = mode
        self.memory = math.inf if memory is None else memory
        self.guard = Guard()

    def gather(self, survey: Survey, need: Need, way: Way) -> Gathered:
        """The task gradients at the sinks of the survey, on the batch of all processes."""
        if way.ranks is None:
            return self._gather(survey, need, way)
        if not all(sink.is_leaf for sink in survey.sinks):  # features: every process holds other columns of J
            found = self._gather(survey, need, way)
            found.gramian = way.ranks.mean(found.gramian) / way.ranks.size
            return found
        # The Gramian of a mean is no mean of Gramians: the rows themselves are averaged.
        local = self._gather(survey, Need.JACOBIAN, way)
        if not isinstance(local, Rows):
            raise TypeError("the Jacobian was asked for and not gathered")
        matrix = way.ranks.mean(local.matrix)
        return Rows(gramian_of(matrix) / way.factor**2, local.others, way.factor, survey.sinks, matrix)

    def _gather(self, survey: Survey, need: Need, way: Way) -> Gathered:
        if self.mode == "sequential" or not self.guard.is_trusted or len(survey.losses) == 1:
            return sequential.gather(survey, way.factor)
        try:
            if self.mode == "auto" and not walk_pays(survey):
                return sequential.gather(survey, way.factor)
            found = self._walk(survey, need, way.factor, keep=self.mode != "forget")
            if self.guard.passes(found, survey):
                return found
        except Exception as reason:  # whatever a newer torch does to the graph, autograd itself still works
            self.guard.give_up(f"{type(reason).__name__}: {reason}")
        return sequential.gather(survey, way.factor)

    def _walk(self, survey: Survey, need: Need, factor: float, *, keep: bool) -> Gathered:
        if need is Need.JACOBIAN:
            return batched.rows(survey, factor)
        return batched.products(survey, factor, keep=keep, budget=self.memory)

    def combine(self, survey: Survey, gathered: Gathered, weights: Tensor, way: Way) -> Sequence[Tensor | None]:
        """``J^T w``, checked."""
        update = gathered.combine(weights)
        if way.ranks is not None:
            return update  # the length of this process's part says nothing about the joint Gramian
        if not self.guard.is_trusted or self.guard.accepts(gathered, weights, update):
            return update
        if isinstance(gathered, batched.Forgotten):
            return update  # autograd's: it is the Gramian that was wrong
        return sequential.weighted_sinks(survey, weights, way.factor)

    def finish(
        self, survey: Survey, update: Sequence[Tensor | None], others: Sequence[tuple[Tensor, Tensor]], way: Way
    ) -> None:
        """Add the update at the sinks and the plain gradients of all others to ``.grad``."""
        pairs = [(sink, gradient) for sink, gradient in zip(survey.sinks, update, strict=True) if gradient is not None]
        pairs += others
        if way.scale != 1.0:
            pairs = [(tensor, gradient * way.scale) for tensor, gradient in pairs]
        deliver(pairs, way.value, way.backward)

    def reuse(self, survey: Survey, weights: Tensor, way: Way) -> None:
        """A step with weights that are known already."""
        update, others = known.gather(survey, weights, way.factor)
        self.finish(survey, update, others, way)


def look(losses: Given, sinks: Sequence[Tensor], *, on: Literal["parameters", "features"]) -> Survey:
    """The survey of one step.

    :raises UserError: no loss reaches any of the sinks.
    """
    survey = Survey(losses, sinks)
    if any(survey.sink_masks):
        return survey
    if on == "features":
        raise UserError(
            "no loss was computed from the features.",
            where="features",
            do="Pass the very tensor that the heads read, not a copy, a slice or a detached tensor.",
        )
    raise UserError(
        "no loss depends on any of the shared parameters.",
        where="shared",
        do="Pass the parameters of the module that the losses were computed with, not of a copy.",
    )
