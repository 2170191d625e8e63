"""The multi-task attention network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.encoders.layers import BatchNorm
from polytask.nets.sharing.channel_rows import Rows
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.stacked import Stack, as_stack, repeated
from polytask.tasks.task import Target


@dataclass(frozen=True)
class MTAN(Sharing):
    r"""One trunk for all tasks; each task takes from every block what its attention mask lets through.

    With :math:`u_j` what goes into block j and :math:`p_j` what comes out of it,

    .. math:: a_{tj} = \sigma(\mathrm{BN}(C' \, \mathrm{ReLU}(\mathrm{BN}(C [u_j; z_{t,j-1}])))), \qquad
              z_{tj} = f_j(a_{tj} \odot p_j)

    C and C' are 1×1 convolutions of the task (linear layers on vectors and tokens), :math:`f_j` is a 3×3 convolution
    (linear), batch norm and ReLU that all tasks share; z is absent from the first block. Trunk and f are shared, masks
    are private.

    Deviations: u and p are the ends of one block in place of two layers inside it, as in the ResNet variant; blocks
    keep their resolution, so nothing is pooled between them; the norm in f takes statistics task by task and keeps
    their mean; a first block that changes the number of places (tokens, pixels) attends from p.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Liu, Johns, Davison", "End-to-end multi-task learning with attention", "CVPR", 2019
    )

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """A trunk and T attention networks."""
        return MTANShared(tuple(target.task.name for target in targets), encoder.build(spec), encoder.reads == "maps")


class MTANShared(PartedShared):
    """A trunk, what the tasks attend with, and what follows their attention."""

    def __init__(self, tasks: tuple[str, ...], stages: Stages, is_map: bool) -> None:
        super().__init__(tasks, stages.width)
        self.stages = stages
        width = stages.width
        reads = [stages.channels, *[2 * width] * (len(stages.blocks) - 1)]
        self.masks = nn.ModuleList(Stack([_attention(size, width) for _ in tasks], stackable=True) for size in reads)
        self.after = nn.ModuleList(After(width, is_map) for _ in reads)

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The end of each task's attention, ``(N, T, D)``."""
        chosen = self.positions(tasks)
        before: Features = self.stages.stem(inputs)
        own: Features | None = None
        for block, masks, after in zip(self.stages.blocks, self.masks, self.after, strict=True):
            out: Features = block(before)
            rows = Rows.of(repeated(before, 1))
            read = rows.values.expand(len(chosen), *rows.values.shape[1:])
            if own is not None:
                read = torch.cat([read, Rows.of(own).values], -1)
            mask = rows.restored(as_stack(masks).rows(chosen, read))
            own = after(Features(mask.values * out.values, out.mask))
            before = out
        return Representation(self._pooled(own or repeated(before, len(chosen))))

    def _pooled(self, features: Features) -> Tensor:
        """``(N, T', D)``. One task after the other: a norm in the pool must not mix their statistics."""
        return torch.stack([self.stages.pool(Features(own, features.mask)) for own in features.values], 1)

    def common(self) -> Mapping[str, nn.Module]:
        """The trunk, and what follows attention."""
        return {"stages": self.stages, "after": self.after}

    def own(self) -> Mapping[str, nn.Module]:
        """The attention networks."""
        return {"masks": self.masks}


class After(nn.Module):
    """f: convolution (linear on vectors and tokens), batch norm and ReLU, the same for all tasks.

    Values ``(T, N, ...)``. In training every task's rows are normed by their own statistics, so that no task's
    gradient hears of another's mask; the running statistics move towards the mean over tasks.
    """

    def __init__(self, width: int, is_map: bool) -> None:
        super().__init__()
        self.mix: nn.Module = (
            nn.Conv2d(width, width, 3, padding=1, bias=False) if is_map else nn.Linear(width, width, bias=False)
        )
        self.norm = BatchNorm(width)

    def forward(self, features: Features) -> Features:
        """The same shape."""
        values = features.values
        mixed: Tensor = self.mix(values.flatten(0, 1)).unflatten(0, values.shape[:2])
        rows = Rows.of(Features(mixed, features.mask))
        return rows.restored(functional.relu(self._normed(rows.values)))

    def _normed(self, rows: Tensor) -> Tensor:
        """``(T, R, D)``, in the precision of the weights: statistics of 16-bit numbers are poor."""
        norm = self.norm
        rows = rows.to(norm.weight.dtype)
        if not self.training or rows.shape[1] < 2:
            flat = functional.batch_norm(
                rows.flatten(0, 1), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
            return flat.view(rows.shape)
        variance, mean = torch.var_mean(rows, 1, correction=0, keepdim=True)
        self._remember(mean.detach(), variance.detach(), rows.shape[1])
        normed = (rows - mean) * (variance + norm.eps).rsqrt()
        return torch.addcmul(norm.bias, normed, norm.weight)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, rows: int) -> None:
        momentum = self.norm.momentum or 0.0
        self.norm.get_buffer("running_mean").lerp_(mean.mean((0, 1)), momentum)
        self.norm.get_buffer("running_var").lerp_(variance.mean((0, 1)) * (rows / (rows - 1)), momentum)
        self.norm.get_buffer("num_batches_tracked").add_(1)


def _attention(inputs: int, width: int) -> nn.Sequential:
    """The mask of one task and block, on rows."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        BatchNorm(width),
        nn.ReLU(),
        nn.Linear(width, width),
        BatchNorm(width),
        nn.Sigmoid(),
    )
