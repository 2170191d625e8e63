"""Soft label embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polytask.batch import Features
from polytask.nets.sharing.presence import of_unit
from polytask.nets.sharing.side_heads import SideHead
from polytask.tasks.binary import Binary
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.tagging import Tagging
from polytask.tasks.task import Target, Task


class LabelEmbedding(nn.Module):
    r"""The likely label of a task as a vector :math:`\sum_j p(j) \, e(j)`.

    A binary task has two labels, a multiclass task or a tagger one for each class. Of any other task the vector is
    linear in what its head puts out. Embeddings start normal with variance 1 / D.

    :param target: the task.
    :param width: D.
    """

    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        self.head = SideHead(target, width)
        labels = soft_labels(target.task, torch.zeros(1, target.outputs)).shape[1]
        self.embedding = nn.Parameter(torch.randn(labels, width) * width**-0.5)

    def forward(self, outputs: Tensor) -> Tensor:
        """``(N, K) -> (N, D)``."""
        return soft_labels(self.head.target.task, outputs) @ self.embedding

    def add(self, features: Features, outputs: Tensor) -> Features:
        """Features with the vector of their row added everywhere: to every token, to every place of a map.

        Of texts, outputs are those of windows, then of tokens; a label of words is added to its own token alone.
        """
        values = features.values
        own = self(of_unit(outputs, self.head.target, len(values)))
        is_word = self.head.target.unit == "word"
        vector = own.view(values.shape) if is_word else own
        if values.ndim == 3 and not is_word:
            vector = vector[:, None]
        elif values.ndim == 4:
            vector = vector[:, :, None, None]
        return Features(values + vector.to(values.dtype), features.mask)


def soft_labels(task: Task, outputs: Tensor) -> Tensor:
    """Probabilities of the labels, ``(N, K) -> (N, J)``; the outputs themselves where a task has no labels."""
    if isinstance(task, Binary):
        p = outputs.sigmoid()
        return torch.cat([1 - p, p], 1)
    return outputs.softmax(1) if isinstance(task, Multiclass | Tagging) else outputs
