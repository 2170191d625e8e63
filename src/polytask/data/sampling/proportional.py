"""Every row equally often."""

from __future__ import annotations

from dataclasses import dataclass

from polytask.catalogue import Paper
from polytask.data.sampling.sampler import Floats, Sampler, power


@dataclass(frozen=True)
class Proportional(Sampler):
    """Draws a source as often as it has rows: ``p_i = n_i / sum_j n_j``.

    Every row is seen once an epoch, as if the batches of all sources were shuffled together. Large sources dominate
    small ones.
    """

    paper = Paper(
        "Xiaodong Liu, Pengcheng He, Weizhu Chen, Jianfeng Gao",
        "Multi-Task Deep Neural Networks for Natural Language Understanding",
        "ACL",
        2019,
    )

    def probabilities(self, sizes: Floats, epoch: int, epochs: int) -> Floats:
        """Shares of the rows."""
        return power(sizes, 1.0)
