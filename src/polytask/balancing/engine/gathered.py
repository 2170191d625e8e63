"""What a gatherer found: task gradients at the sinks, in whatever form, and the plain gradients of everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polytask.balancing.engine.products import inner


@dataclass
class Gathered(ABC):
    """Task gradients at the sinks.

    :param gramian: ``(T, T)`` float64.
    :param others: tensors that are no sink (heads), each with the sum of the tasks' gradients, times ``factor``.
    :param factor: what the losses were multiplied by on the way back, for the sake of half precision.
    :param sinks: where the gradients were taken.
    """

    gramian: Tensor
    others: list[tuple[Tensor, Tensor]]
    factor: float
    sinks: Sequence[Tensor]

    @property
    def jacobian(self) -> Tensor | None:
        """``(T, P)``, if it was kept: the sinks side by side."""
        return None

    @abstractmethod
    def combine(self, weights: Tensor) -> list[Tensor | None]:
        """``J^T w``, times ``factor``, in the shapes of the sinks (None where no task reaches); can be asked once."""

    def cut(self, update: Tensor) -> Sequence[Tensor]:
        """An update ``(P,)``, times ``factor``, in the shapes of the sinks."""
        return cut(update if self.factor == 1.0 else update * self.factor, self.sinks)


@dataclass
class Rows(Gathered):
    """The whole Jacobian.

    :param matrix: ``(T, P)``, times ``factor``.
    """

    matrix: Tensor

    @property
    def jacobian(self) -> Tensor | None:
        """``(T, P)``."""
        return self.matrix if self.factor == 1.0 else self.matrix / self.factor

    def combine(self, weights: Tensor) -> list[Tensor | None]:
        """``J^T w``."""
        return list(cut(weights.to(self.matrix) @ self.matrix, self.sinks))


def cut(row: Tensor, sinks: Sequence[Tensor]) -> list[Tensor]:
    """A row ``(P,)`` in the shapes and types of the sinks."""
    parts = torch.split(row, [sink.numel() for sink in sinks])
    return [part.view(sink.shape).to(sink.dtype) for part, sink in zip(parts, sinks, strict=True)]


def empty_matrix(T: int, sinks: Sequence[Tensor]) -> Tensor:
    """Zeros for a Jacobian ``(T, P)`` in the widest type of the sinks, float32 at least."""
    dtype = torch.float32
    for sink in sinks:
        dtype = torch.promote_types(dtype, sink.dtype)
    return torch.zeros(T, sum(sink.numel() for sink in sinks), dtype=dtype, device=sinks[0].device)


def gramian_of(matrix: Tensor) -> Tensor:
    """``J J^T`` in float64."""
    return inner(matrix, matrix)
