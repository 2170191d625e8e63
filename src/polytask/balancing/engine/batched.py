"""Three ways to use the walk: keep what the update needs, forget it, or write the Jacobian out."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from polytask.balancing.engine.factors import Factor
from polytask.balancing.engine.gathered import Gathered, Rows, empty_matrix, gramian_of
from polytask.balancing.engine.sequential import weighted_sinks
from polytask.balancing.engine.survey import Survey, tasks_of
from polytask.balancing.engine.walk import Walk


@dataclass
class Kept(Gathered):
    """Factors by sink: the update is one combined weight gradient each."""

    factors: dict[int, Factor]
    masks: list[int]

    def combine(self, weights: Tensor) -> list[Tensor | None]:
        """``J^T w``, factor by factor; each is let go when it has been used."""
        update: list[Tensor | None] = [None] * len(self.sinks)
        with torch.no_grad():
            for i in list(self.factors):
                chosen = weights[list(tasks_of(self.masks[i]))]
                sink = self.sinks[i]
                update[i] = self.factors.pop(i).combine(chosen).reshape(sink.shape).to(sink.dtype)
        return update


@dataclass
class Forgotten(Gathered):
    """Nothing was kept: the update is one more ordinary backward pass of the weighted losses."""

    survey: Survey

    def combine(self, weights: Tensor) -> list[Tensor | None]:
        """``J^T w`` by autograd."""
        return weighted_sinks(self.survey, weights, self.factor)


@dataclass
class _Measure:
    """Adds up the Gramian, sink by sink."""

    survey: Survey
    budget: float
    gramian: Tensor
    kept: dict[int, Factor] | None
    sizes: dict[int, int] = field(default_factory=dict)

    def __call__(self, sink: int, factor: Factor) -> None:
        part, small = factor.measure()
        tasks = torch.tensor(tasks_of(self.survey.sink_masks[sink]), device=part.device)
        self.gramian[tasks[:, None], tasks] += part
        if self.kept is None:
            return
        self.kept[sink] = small
        storage = small.held.untyped_storage()
        self.sizes[storage.data_ptr()] = storage.nbytes()
        if sum(self.sizes.values()) > self.budget:
            self.kept = None


def products(survey: Survey, factor: float, *, keep: bool, budget: float) -> Gathered:
    """The Gramian by one walk.

    :param keep: keep the factors for the update, as long as they fit into ``budget`` bytes.
    """
    T, like = len(survey.losses), survey.sinks[0]
    gramian = torch.zeros(T, T, dtype=torch.float64, device=like.device)
    measure = _Measure(survey, budget, gramian, {} if keep else None)
    others = Walk(survey, measure).run(factor)
    if measure.kept is None:
        return Forgotten(gramian / factor**2, others, factor, survey.sinks, survey)
    return Kept(gramian / factor**2, others, factor, survey.sinks, measure.kept, survey.sink_masks)


def rows(survey: Survey, factor: float) -> Rows:
    """The Jacobian by one walk."""
    matrix = empty_matrix(len(survey.losses), survey.sinks)
    starts = [0]
    for sink in survey.sinks:
        starts.append(starts[-1] + sink.numel())

    def write(sink: int, found: Factor) -> None:
        tasks = tasks_of(survey.sink_masks[sink])
        block = matrix[:, starts[sink] : starts[sink + 1]]
        for task, row in zip(tasks, found.dense(), strict=True):
            block[task] = row.flatten()

    others = Walk(survey, write).run(factor)
    return Rows(gramian_of(matrix) / factor**2, others, factor, survey.sinks, matrix)
