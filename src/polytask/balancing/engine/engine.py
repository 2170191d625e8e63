"""Which gatherer serves a step, and what becomes of the answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from polytask.balancing.contract import Need
from polytask.balancing.engine import batched, known, sequential
from polytask.balancing.engine.deliver import Backward, deliver, factor_of
from polytask.balancing.engine.gathered import Gathered
from polytask.balancing.engine.guard import Guard
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given
from polytask.errors import UserError


@dataclass(frozen=True)
class Way:
    """How one step goes backwards.

    :param scale: a factor on everything that is added to ``.grad``.
    :param backward: what is called instead of ``total.backward()``.
    :param factor: what ``backward`` multiplies a total by: the scale of a gradient scaler, else 1.
    :param value: the summed loss, for a ``backward`` that looks at it.
    """

    scale: float
    backward: Backward | None
    factor: float
    value: Tensor

    @classmethod
    def of(cls, scale: float, backward: Backward | None, losses: Tensor) -> Way:
        """The way for these losses ``(T,)``; asks ``backward`` for its factor."""
        return cls(scale, backward, factor_of(backward, losses), losses.sum())

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
        """The task gradients at the sinks of the survey."""
        mode = self._choose(survey)
        if mode == "sequential":
            return sequential.gather(survey, way.factor)
        try:
            found = self._walk(survey, need, way.factor, keep=mode == "keep")
            if self.guard.passes(found, survey):
                return found
        except Exception as reason:  # whatever a newer torch does to the graph, autograd itself still works
            self.guard.give_up(f"{type(reason).__name__}: {reason}")
        return sequential.gather(survey, way.factor)

    def _choose(self, survey: Survey) -> str:
        if not self.guard.is_trusted or len(survey.losses) == 1:
            return "sequential"
        return "keep" if self.mode == "auto" else self.mode

    def _walk(self, survey: Survey, need: Need, factor: float, *, keep: bool) -> Gathered:
        if need is Need.JACOBIAN:
            return batched.rows(survey, factor)
        return batched.products(survey, factor, keep=keep, budget=self.memory)

    def combine(self, survey: Survey, gathered: Gathered, weights: Tensor, way: Way) -> Sequence[Tensor | None]:
        """``J^T w``, checked."""
        update = gathered.combine(weights)
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
