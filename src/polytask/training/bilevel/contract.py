"""The contract of a bilevel method: it sees losses at other parameters, and answers with one weight per task."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from polytask.balancing.contract import Method, Need, State
from polytask.balancing.losses import Given
from polytask.catalogue import Paper
from polytask.training.bilevel.problem import Problem


class Bilevel(Method):
    """What every bilevel method has. Hyperparameters are dataclass fields; memory is a value.

    The outer problem is to choose weights so that the parameters after one step on the weighted training losses have
    low validation losses; the inner problem is that step.
    """

    needs = Need.BILEVEL
    paper: ClassVar[Paper]
    passes: ClassVar[str]
    """What a step costs, in words: backward passes for T tasks."""

    @abstractmethod
    def weigh(self, train: Given, problem: Problem[Any], state: State) -> tuple[Tensor, State]:
        """Weights ``(T,)`` of the tasks in the training batch, and the next memory; no argument is changed.

        :param train: the training losses at the parameters as they are, with their graph.
        :param problem: the losses elsewhere.
        :param state: the memory of the tasks in ``train``.
        """


def finite_rows(before: State, after: State, slope: Tensor) -> State:
    """``after``, but ``before`` for tasks whose slope ``(T,)`` is not finite."""
    good = slope.isfinite()
    return {key: torch.where(good, after[key], before[key]) for key in before}
