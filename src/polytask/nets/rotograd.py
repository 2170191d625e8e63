"""RotoGrad: a rotation of the features per task, so that the task gradients point one way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polytask.errors import ConfigError, UserError, did_you_mean


@dataclass(frozen=True)
class Rotated:
    """What the heads read.

    :param features: z ``(..., D)``, with the graph of the trunk.
    :param values: task -> ``r_t`` ``(..., D)``, cut off from the trunk.
    """

    features: Tensor
    values: Mapping[str, Tensor]

    def __getitem__(self, task: str) -> Tensor:
        """The features of one task."""
        return self.values[task]


class RotoGrad(nn.Module):
    """Stands between a trunk and its heads: every head reads the features in a rotation of its own.

    ``r_t = R_t z``, ``R_t = exp(A_t - A_t')`` in SO(m), the identity at first. With ``h_t = grad L_t`` at ``r_t`` and
    ``G_t = R_t' h_t`` at z, :meth:`backward` gives

    - the heads the plain gradient of their own loss;
    - the trunk ``sum_t C G_t / |G_t|``, ``C = sum_t a_t |G_t|``, ``a_t = (|G_t| / n_t) / sum_s (|G_s| / n_s)``:
      gradients of one length, nearer to that of tasks that still have far to go. ``n_t`` is ``|G_t|`` at the first
      step, and anew ``burn_in`` steps later. With ``scale=False`` the plain sum ("rotate only");
    - the rotations the gradient of ``mean over rows |R_t v - h_t|^2``, ``v = mean_t |mean G| G_t / |G_t|``: they turn
      every task's gradient towards the common one.

    Lengths are those of all rows together. Rotations are constants for the losses; only their own optimizer moves
    them, and it should be the slower one (the game of trunk and rotations is stable then), with a decaying rate. A
    task that is absent from a step takes no part; one with zero gradient has no say. Leave out a task whose loss is
    not finite: its NaN would reach the trunk and, for good, its rotation. Scaled losses (fp16 with a
    gradient scaler) are not supported, bfloat16 is. For one process.

    :param tasks: names, in the order of the rows of the state.
    :param width: D, the last dimension of the features.
    :param size: m: only the first m features are rotated; default all. The rotation costs T m^3.
    :param scale: whether gradients are brought to one length.
    :param burn_in: steps, counted by task, until lengths are remembered anew.
    :raises polytask.errors.ConfigError: no task, one twice, or a size that does not fit.

    Javaloy, Valera. RotoGrad: Gradient Homogenization in Multitask Learning. ICLR 2022.

    >>> trunk, a, b = nn.Linear(5, 4), nn.Linear(4, 1), nn.Linear(4, 1)
    >>> rotograd = RotoGrad(["a", "b"], width=4)
    >>> optimizer = torch.optim.Adam([*trunk.parameters(), *a.parameters(), *b.parameters()])
    >>> rotations = torch.optim.RAdam(rotograd.parameters(), lr=1e-4)
    >>> rotated = rotograd(trunk(torch.randn(8, 5)).relu())
    >>> losses = {"a": a(rotated["a"]).square().mean(), "b": (b(rotated["b"]) - 1).square().mean()}
    >>> rotograd.backward(losses, rotated)
    >>> for one in (optimizer, rotations):
    ...     one.step()
    ...     one.zero_grad()
    """

    start: Tensor
    """``(T,)``: n_t; NaN before the task's first step with a gradient."""
    steps: Tensor
    """``(T,)``: steps of each task so far."""

    def __init__(
        self, tasks: Sequence[str], width: int, *, size: int | None = None, scale: bool = True, burn_in: int = 20
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.width = width
        self.size = width if size is None else size
        self.scale = scale
        self.burn_in = burn_in
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise ConfigError(f"expected one name or more, each once, found {list(tasks)}.", where="tasks")
        if not 1 <= self.size <= width:
            raise ConfigError(f"expected 1 to {width} features, found {size}.", where="size")
        T = len(self.tasks)
        self.generators = nn.Parameter(torch.zeros(T, self.size, self.size))
        self.register_buffer("start", torch.full((T,), torch.nan))
        self.register_buffer("steps", torch.zeros(T, dtype=torch.int64))

    def rotations(self) -> Tensor:
        """``(T, m, m)``: the matrices R_t, with their graph."""
        upper = self.generators.triu(1)
        R: Tensor = torch.linalg.matrix_exp(upper - upper.mT)
        return R

    def forward(self, features: Tensor) -> Rotated:
        """The features of every task; with gradients enabled, leaves that :meth:`backward` reads.

        :param features: z ``(..., D)``.
        :raises polytask.errors.UserError: the last dimension is not D.
        """
        if features.shape[-1] != self.width:
            raise UserError(
                f"expected features of width {self.width}, found {tuple(features.shape)}.", where="features"
            )
        z, R = features.detach(), self.rotations().detach().to(features.dtype)
        head, tail = z[..., : self.size], z[..., self.size :]
        rotated = {name: torch.cat([head @ R[t].mT, tail], -1) for t, name in enumerate(self.tasks)}
        if torch.is_grad_enabled():
            rotated = {name: values.requires_grad_() for name, values in rotated.items()}
        return Rotated(features, rotated)

    def backward(self, losses: Mapping[str, Tensor | None], rotated: Rotated) -> None:
        """Add gradients to heads, trunk and rotations: one backward pass through each.

        :param losses: a scalar per task, computed from ``rotated``; None or left out: absent from this batch.
        :raises polytask.errors.UserError: an unknown task, or no task at all.
        """
        present = {name: loss for name, loss in losses.items() if loss is not None}
        for name in present:
            if name not in self.tasks:
                raise UserError(f"{name!r} is no task of these rotations.", do=did_you_mean(name, self.tasks))
        if not present:
            raise UserError("expected the loss of at least one task, found none.", where="losses")
        torch.autograd.backward(list(present.values()))
        index = torch.tensor([self.tasks.index(name) for name in present], device=self.steps.device)
        H = torch.stack([_gradient(name, rotated[name]) for name in present]).to(self.generators.dtype)
        R = self.rotations()[index]
        m = self.size
        G = torch.cat([torch.einsum("tij,t...i->t...j", R.detach(), H[..., :m]), H[..., m:]], -1)
        objective = rotation_losses(R, common_direction(G)[..., :m], H[..., :m]).sum()
        torch.autograd.backward([objective])
        start = self._remember(index, lengths(G)) if self.scale else None
        if rotated.features.requires_grad:
            update = G.sum(0) if start is None else scaled_sum(G, start)
            torch.autograd.backward([rotated.features], [update.to(rotated.features.dtype)])

    def _remember(self, index: Tensor, n: Tensor) -> Tensor:
        """n_t of these tasks, renewed where they are due."""
        start = remembered(self.start[index], self.steps[index], n, self.burn_in)
        self.start[index], self.steps[index] = start, self.steps[index] + 1
        return start


def remembered(start: Tensor, steps: Tensor, n: Tensor, burn_in: int) -> Tensor:
    """``(T,)``: the lengths n_t to compare with, renewed at a task's first step with a gradient and after ``burn_in``.

    :param start: ``(T,)``: those so far, NaN where there are none.
    :param steps: ``(T,)``: steps of each task before this one.
    :param n: ``(T,)``: the lengths of now.
    """
    due = (start.isnan() | (steps == burn_in)) & (n > 0) & n.isfinite()
    return torch.where(due, n.to(start.dtype), start)


def lengths(G: Tensor) -> Tensor:
    """``(T,)``: the length of each task's gradient ``(T, ..., D)``, all rows together."""
    n: Tensor = torch.linalg.vector_norm(G.flatten(1), dim=1)
    return n


def _units(G: Tensor) -> Tensor:
    n = lengths(G)
    return G * torch.where(n > 0, 1 / n, 0).view(-1, *[1] * (G.ndim - 1))


def common_direction(G: Tensor) -> Tensor:
    """``v = |mean G| mean_t G_t / |G_t|``, ``(..., D)``, of gradients ``(T, ..., D)``."""
    length: Tensor = torch.linalg.vector_norm(G.mean(0))
    return length * _units(G).mean(0)


def scaled_sum(G: Tensor, start: Tensor) -> Tensor:
    """``sum_t C G_t / |G_t|``, ``(..., D)``.

    :param G: ``(T, ..., D)``.
    :param start: ``(T,)``: the lengths n_t to compare with; NaN where none is known, and such tasks leave C alone.
    """
    n = lengths(G)
    ratio = (n / start.to(n)).nan_to_num(nan=0.0)
    total = ratio.sum()
    C = torch.where(total > 0, (ratio @ n) / total, 0)
    return C * _units(G).sum(0)


def rotation_losses(R: Tensor, v: Tensor, H: Tensor) -> Tensor:
    """``(T,)``: ``|R_t v - h_t|^2``, summed over features, averaged over rows.

    :param R: ``(T, m, m)``.
    :param v: ``(..., m)``: the common direction at z.
    :param H: ``(T, ..., m)``: the gradients at the rotated features.
    """
    gap = torch.einsum("tij,...j->t...i", R, v) - H
    return gap.square().sum(-1).reshape(len(R), -1).mean(1)


def _gradient(task: str, values: Tensor) -> Tensor:
    """What reached the features of one task."""
    if not values.requires_grad:
        raise UserError(
            "expected features with gradient, found constants.", do="Call rotograd(features) with gradients enabled."
        )
    return torch.zeros_like(values) if values.grad is None else values.grad
