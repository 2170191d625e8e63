"""Sluice networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import above, at_least, within
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.stitches import Stitch, near_identity
from polytask.nets.sharing.trunks import Trunks, trunk_per_task
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Sluice(Sharing):
    r"""A trunk for each task, mixed in subspaces after every block; each task's head reads a mixture of all blocks.

    A block's output has G groups of channels, the subspaces. With h the subspaces of all tasks side by side,

    .. math:: \tilde h_l = \alpha_l h_l, \quad \alpha_l \in R^{TG \times TG}, \qquad
              z_t = \sum_l \beta_{tl} \, \tilde h_{tl}

    and the total gets ``orthogonality`` times :math:`\sum \lVert W_1^\top W_2 \rVert_F^2` over the matrices of all
    blocks and tasks, whose rows fall into halves :math:`W_1, W_2` (all pairs of G parts). Trunks and the α of all but
    the last block are shared; rows of the last α, β and what follows are private.

    Deviations: any encoder's blocks in place of layers of a recurrent tagger; z is mixed before the pool. Matrices
    whose rows do not divide by G stay out of the penalty.

    :param subspaces: G; it must divide the encoder's width.
    :param own: diagonal of α at the start, the rest of 1 spread beside it; None: balanced, 1 / (T G) everywhere.
    :param last: β of the last block at the start, the rest of 1 spread over the others; None: balanced, 1 / L.
    :param orthogonality: weight of the penalty.
    :param pace: how many times as fast as other weights α and β learn under Adam.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Ruder, Bingel, Augenstein, Søgaard", "Latent multi-task architecture learning", "AAAI", 2019
    )
    coupled = True

    subspaces: int = 2
    own: float | None = 0.9
    last: float | None = 0.9
    orthogonality: float = 0.0
    pace: float = 10.0

    def __post_init__(self) -> None:
        at_least(1, subspaces=self.subspaces)
        at_least(0, orthogonality=self.orthogonality)
        above(0, pace=self.pace)
        within(0, 1, own=0.5 if self.own is None else self.own, last=0.5 if self.last is None else self.last)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """T trunks, α and β.

        :raises polytask.errors.ConfigError: the encoder's width is no multiple of ``subspaces``.
        """
        tasks = tuple(target.task.name for target in targets)
        trunks = trunk_per_task(encoder, spec, tasks)
        if trunks[0].width % self.subspaces:
            raise ConfigError(
                f"expected a divisor of the encoder's width {trunks[0].width}, found {self.subspaces}.",
                where="sharing.subspaces",
            )
        return SluiceShared(tasks, trunks, self)


class LayerMix(nn.Module):
    """β: ``(T, L)``."""

    def __init__(self, start: Tensor, pace: float) -> None:
        super().__init__()
        self.pace = pace
        self.kept = nn.Parameter(start / pace)

    def forward(self, layer: int, copies: list[int], like: Tensor) -> Tensor:
        """β of one layer for these tasks, shaped to weigh ``like``: ``(T', 1, ...)``."""
        own: Tensor = (self.kept * self.pace)[copies, layer]
        return own.view(-1, *[1] * (like.ndim - 1)).to(like.dtype)


class SluiceShared(Trunks):
    """T trunks with α and β."""

    def __init__(self, tasks: tuple[str, ...], trunks: Sequence[Stages], options: Sluice) -> None:
        layers, groups, count = len(trunks[0].blocks), options.subspaces, len(tasks)
        super().__init__(tasks, trunks, joined=layers)
        size = count * groups
        alpha = near_identity(size, 1 / size if options.own is None else options.own)
        alpha = alpha.view(count, groups, count, groups)
        self.alpha = nn.ModuleList(Stitch(alpha, pace=options.pace) for _ in range(layers))
        beta = near_identity(layers, 1 / layers if options.last is None else options.last)[-1]
        self.beta = LayerMix(beta.repeat(count, 1), options.pace)
        self.options = options

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What each task's head reads, ``(N, T, D)``."""
        everyone, chosen = self.positions(None), self.positions(tasks)
        features = self.stages.start(inputs, everyone)
        total: Tensor | None = None
        for layer, alpha in enumerate(self.alpha):
            features = self.stages.step(layer, features, everyone)
            is_last = layer == len(self.alpha) - 1
            mixed = alpha(features.values, chosen if is_last else everyone)
            features = Features(mixed, features.mask)
            own = mixed if is_last else mixed[chosen]
            part = self.beta(layer, chosen, own) * own
            total = part if total is None else total + part
        read = features if total is None else Features(total, features.mask)
        return Representation(self.stages.end(read, chosen).transpose(0, 1))

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """The orthogonality of subspaces; None when its weight is 0."""
        if self.options.orthogonality == 0:
            return None
        groups = self.options.subspaces
        matrices = (p for block in self.stages.blocks for p in block.parameters() if p.ndim > 2)
        parts = [subspace_overlap(p.flatten(2), groups) for p in matrices if p.shape[1] % groups == 0]
        return self.options.orthogonality * torch.stack(parts).sum() if parts else None

    def common(self) -> Mapping[str, nn.Module]:
        """All α but the last."""
        return {**super().common(), **{f"alpha.{i}": a for i, a in enumerate(self.alpha[:-1])}}

    def own(self) -> Mapping[str, nn.Module]:
        """The rows of the last α and of β, and the pool."""
        return {**super().own(), f"alpha.{len(self.alpha) - 1}": self.alpha[-1], "beta": self.beta}


def subspace_overlap(matrices: Tensor, groups: int) -> Tensor:
    r""":math:`\sum_{g<h} \lVert W_g^\top W_h \rVert_F^2` over T matrices ``(T, O, I)`` whose rows fall into G parts.

    By products of rows, which are fewer than inputs: :math:`\lVert A^\top B \rVert_F^2 = \sum (A A^\top) * (B B^\top)`.
    """
    parts = matrices.chunk(groups, 1)
    grams = [torch.bmm(part, part.transpose(1, 2)) for part in parts]
    return sum(((a * b).sum() for a, b in combinations(grams, 2)), matrices.new_zeros(()))
