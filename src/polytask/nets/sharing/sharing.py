"""The contract of a way of sharing: what every task's head is given, and which parameters are whose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor, nn

from polytask.batch import Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Representation:
    """What the heads are given.

    :param values: ``(N, D)`` when all tasks are given the same vector, so that heads run as one product;
        ``(N, T, D)`` when each task has its own, in the order of the model's tasks.
    :param side: what the forward pass leaves for :meth:`Shared.penalty` and :meth:`Shared.diagnostics`, by name:
        gates, features of a discriminator. It travels with the outputs, so that the module remembers nothing.
    """

    values: Tensor
    side: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def is_common(self) -> bool:
        """Whether all tasks are given the same vector."""
        return self.values.ndim == 2

    def of(self, positions: slice | Tensor) -> Tensor:
        """What the tasks at these positions are given: ``(N, D)`` when common, else ``(N, G, D)``."""
        if self.is_common:
            return self.values
        return self.values[:, positions] if isinstance(positions, slice) else self.values.index_select(1, positions)


class Shared(nn.Module, ABC):
    """An encoder under a way of sharing, built.

    Every parameter is on exactly one side: among :meth:`shared_parameters`, which the losses of several tasks reach, or
    among the :meth:`task_parameters` of one task, which no other task's loss reaches.

    :param tasks: names of the T tasks, in the order of the model.
    :param width: D, numbers per row that each head is given.
    """

    def __init__(self, tasks: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.tasks = tasks
        self.width = width

    @abstractmethod
    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What the heads are given for these rows.

        :param tasks: run only what these T' tasks need; the representation is then ``(N, D)`` or ``(N, T', D)`` in
            their order. Default: all tasks.
        """

    @abstractmethod
    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that serve several tasks."""

    @abstractmethod
    def task_parameters(self, task: str) -> Iterator[Tensor]:
        """What serves this task alone: parameters, or its slice of a stacked parameter."""

    @abstractmethod
    def task_state(self, task: str | None) -> dict[str, Tensor]:
        """Weights and buffers that serve this task alone, or all tasks (None): key -> tensor that shares their memory.

        Keys do not depend on which other tasks there are, so that the weights fit a model of fewer tasks, unless the
        way of sharing is :attr:`Sharing.coupled`.
        """

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """A scalar that training adds to its total, with its weight already in it; None when there is none.

        Regularisers of parameters, and side losses of this batch (a discriminator, the entropy of gates) computed
        from ``representation.side``. It is measured beside losses in units of the best constant predictor.
        Of several processes, or accumulated batches, each is penalised for its own rows, and the mean counts.

        :param representation: what :meth:`forward` returned in training mode.
        :param targets: the labels of the same rows; which of them are missing tells whose rows they are.
        """
        return None

    @property
    def judges_answers(self) -> bool:
        """Whether :meth:`answer_penalty` may say something."""
        return False

    def answer_penalty(self, answers: Mapping[str, Any]) -> Tensor | None:
        """Like :meth:`penalty`, for what is asked of the answers of several tasks together; None when nothing is.

        :param answers: outputs by task, ``(N, K)`` each, after :meth:`link`; of tasks about words and lists as their
            heads give them.
        """
        return None

    @property
    def is_linked(self) -> bool:
        """Whether :meth:`link` makes answers of several heads. All heads then count as shared."""
        return False

    def link(self, outputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The outputs of the tasks, given those of all heads: ``(N, K)`` each, in equal shapes."""
        return outputs

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """Scalars for the record, by name: the entropy of a gate, the share of open blocks."""
        return {}

    def advance(self, progress: float) -> None:
        """Anneal: called before each epoch with the share of the epochs that are done, in [0, 1).

        It must depend on ``progress`` alone, so that a resumed training goes on alike. What it sets acts in training
        only, or lies in buffers that :meth:`task_state` tells.
        """


@dataclass(frozen=True)
class Sharing(ABC):
    """Hyperparameters of a way of sharing. Subclasses are listed in ``polytask.nets.sharing.SHARING``."""

    paper: ClassVar[Paper | None] = None
    coupled: ClassVar[bool] = False
    """Whether a task's outputs run through networks of other tasks. Weights then fit a model of the same tasks only."""
    remakes_gradients: ClassVar[bool] = False
    """Whether what reaches the shared parameters is not the gradient of the losses, so that none can be compared."""

    @property
    def settled(self) -> float:
        """Share of the epochs after which the structure is final; in epochs that begin before, it is searched for.

        What validation says of a structure that is not final tells nothing about the one that remains: training keeps
        no epoch of the search, and its patience begins behind it.
        """
        return 0.0

    @abstractmethod
    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """Fresh modules for these tasks; weights are drawn from torch's global generator."""
