r"""RotoGrad as a way of sharing: rotations between the trunk and the heads, turned and scaled in the backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from polytask.batch import Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.rotograd import common_direction, lengths, remembered, rotation_losses, scaled_sum
from polytask.nets.sharing.checks import above, at_least
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.tasks.task import Target


@dataclass(frozen=True)
class Rotated(Sharing):
    r"""One trunk whose features every task reads in a rotation of its own, so that task gradients point one way.

    .. math:: y_t = h_t(R_t f(x)), \qquad R_t = \exp(\rho (A_t - A_t^\top))

    What reaches the trunk is not the gradient of the losses but :math:`\sum_t C \, G_t / |G_t|`, task gradients at the
    features of one length, nearer to that of tasks that still have far to go; the rotations follow
    :math:`|R_t v - \nabla_{r_t} L_t|^2` for the common direction v (:class:`polytask.nets.rotograd.RotoGrad` has the
    formulas, for a loop of your own with an optimizer for the rotations). Heads get their plain gradients.

    It takes balancers that see losses alone, one process, and no loss scaling (``16-mixed``).

    :param size: only the first so many features are rotated; null: all. A step costs their third power per task.
    :param scale: whether task gradients are brought to one length.
    :param burn_in: steps until the lengths that tell how far a task has come are remembered anew.
    :param rate: :math:`\rho`: the step size of the rotations over that of the network. They should be slower.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Javaloy, Valera", "RotoGrad: Gradient Homogenization in Multitask Learning", "ICLR", 2022
    )
    remakes_gradients: ClassVar[bool] = True

    size: int | None = None
    scale: bool = True
    burn_in: int = 20
    rate: float = 0.1

    def __post_init__(self) -> None:
        at_least(1, **({} if self.size is None else {"size": self.size}))
        at_least(0, burn_in=self.burn_in)
        above(0, rate=self.rate)

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """One trunk, and a rotation for every task."""
        stages = encoder.build(spec)
        if self.size is not None and self.size > stages.width:
            raise ConfigError(f"expected 1 to {stages.width} features, found {self.size}.", where="sharing.size")
        return RotatedShared(self, stages, tuple(target.task.name for target in targets))


class RotatedShared(Shared):
    """A trunk and T rotations of its features, the identity at first."""

    start: Tensor
    """``(T,)``: the lengths of gradients to compare with; NaN before a task's first step with a gradient."""
    steps: Tensor
    """``(T,)``: steps of each task so far."""

    def __init__(self, options: Rotated, stages: Stages, tasks: tuple[str, ...]) -> None:
        super().__init__(tasks, stages.width)
        self.options = options
        self.stages = stages
        size = stages.width if options.size is None else options.size
        self.generators = nn.Parameter(torch.zeros(len(tasks), size, size))
        self.register_buffer("start", torch.full((len(tasks),), torch.nan))
        self.register_buffer("steps", torch.zeros(len(tasks), dtype=torch.int64))

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The features of every task: ``(N, T, D)``."""
        z = self.stages(inputs)
        generators: Tensor = self.generators
        if tasks is not None:
            generators = generators[[self.tasks.index(task) for task in tasks]]
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(generators.dtype)
            if tasks is not None or not torch.is_grad_enabled():
                return Representation(turned(z, rotations(generators, self.options.rate)))
            values: Tensor = _Turned.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
                z, generators, (self.start, self.steps), self.options
            )
            return Representation(values)

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """All parameters of the trunk."""
        return self.stages.parameters()

    def task_parameters(self, task: str) -> Iterator[Tensor]:
        """The generator of its rotation."""
        return iter((self.generators[self.tasks.index(task)],))

    def task_state(self, task: str | None) -> dict[str, Tensor]:
        """The trunk for all tasks, the generator of its rotation for one."""
        if task is None:
            return self.stages.state_dict()
        return {"rotation": self.generators[self.tasks.index(task)]}


def rotations(generators: Tensor, rate: float) -> Tensor:
    """``(T, m, m)``: the matrices ``exp(rate (A - A^T))`` of the upper triangles A, with their graph."""
    upper = generators.triu(1)
    R: Tensor = torch.linalg.matrix_exp(rate * (upper - upper.mT))
    return R


def turned(z: Tensor, R: Tensor) -> Tensor:
    """``(N, T, D)``: the first m of the features ``(N, D)`` turned by each of ``(T, m, m)``, the others as they are."""
    m = R.shape[-1]
    head = torch.einsum("tij,nj->nti", R, z[:, :m])
    return torch.cat([head, z[:, None, m:].expand(-1, len(R), -1)], -1)


class _Turned(torch.autograd.Function):
    """The rotated features forward, RotoGrad's gradients backward."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, generators: Tensor, memory: tuple[Tensor, Tensor], options: Rotated) -> Tensor:
        R = rotations(generators, options.rate)
        ctx.save_for_backward(generators, R)
        ctx.memory, ctx.options = memory, options
        return turned(z, R)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        generators, R = ctx.saved_tensors
        H = gradients[0].movedim(1, 0)  # (T, N, D)
        m = R.shape[-1]
        G = torch.cat([torch.einsum("tij,tni->tnj", R, H[..., :m]), H[..., m:]], -1)
        turn = torch.zeros_like(generators)
        n = lengths(G)
        here = n != 0  # a task without labels in the batch takes no part
        if not bool(n.isfinite().all()) or not bool(here.any()):
            return G.sum(0), turn, None, None
        start, steps = (memory[here] for memory in ctx.memory)
        turn[here] = _turning(generators[here], common_direction(G[here])[..., :m], H[here][..., :m], ctx.options.rate)
        if not ctx.options.scale:
            return G.sum(0), turn, None, None
        start = remembered(start, steps, n[here], ctx.options.burn_in)
        ctx.memory[0][here], ctx.memory[1][here] = start, steps + 1
        return scaled_sum(G[here], start), turn, None, None


def _turning(generators: Tensor, v: Tensor, H: Tensor, rate: float) -> Tensor:
    """The gradient of the losses of rotations with respect to their generators."""
    with torch.enable_grad():
        leaf = generators.detach().requires_grad_()
        objective = rotation_losses(rotations(leaf, rate), v, H).sum()
        (found,) = torch.autograd.grad(objective, leaf)
    return found
