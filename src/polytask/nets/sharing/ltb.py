"""Learning to branch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.catalogue import Paper
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.checks import above, at_least, within
from polytask.nets.sharing.conditioned import PerTask
from polytask.nets.sharing.experts import shared_experts
from polytask.nets.sharing.gates import entropy
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.straight_through import gumbel_softmax, one_hot
from polytask.nets.sharing.tree import Path, TreeShared
from polytask.nets.stacked import Stack
from polytask.tasks.task import Target


@dataclass(frozen=True)
class LTB(Sharing):
    r"""Copies of every block, among which a tree of branches is learned; each task ends on one of the last.

    .. math:: x^{l+1}_c = f^{l+1}_c\Big(\sum_j a^l_{cj} \, x^l_j\Big), \qquad
              z_t = \sum_j a_{tj} \, \mathrm{pool}_j(x^L_j), \qquad
              a = \mathrm{onehot}\big(\mathrm{argmax}_j (\theta_j + G_j)\big)

    with Gumbel noise G and the gradient of :math:`\mathrm{softmax}((\theta + G) / \tau)` (straight-through). Training
    passes through three phases: all parents count alike; the search; the likeliest tree. Evaluation always takes the
    likeliest tree, and :meth:`LTBShared.extract` gives it as a network without the other branches. Blocks, their
    choices and the pool are shared; the choice of a task is private.

    The tree of the warm-up and of the search is not the final one: training keeps no epoch of them, and does not stop
    early in them.

    Deviations: the number of copies is chosen, where the paper has one per task or a given tree; while all parents
    count alike their outputs are averaged, where LibMTL adds them up.

    :param branches: B, copies of every block.
    :param tau: τ at the start of the search.
    :param tau_end: τ at its end; between them it falls geometrically.
    :param warmup: share of the epochs in which all parents count alike.
    :param search: share of the epochs after which the tree is fixed.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Guo, Lee, Ulbricht", "Learning to branch for multi-task learning", "ICML", 2020
    )

    branches: int = 3
    tau: float = 5.0
    tau_end: float = 0.5
    warmup: float = 0.05
    search: float = 0.7

    def __post_init__(self) -> None:
        at_least(1, branches=self.branches)
        above(0, tau=self.tau, tau_end=self.tau_end)
        within(0, 1, warmup=self.warmup)
        within(self.warmup, 1, search=self.search)

    @property
    def settled(self) -> float:
        """The end of the search."""
        return self.search

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """All branches and the choices between them."""
        return LTBShared(self, encoder, spec, tuple(target.task.name for target in targets))


class LTBShared(PartedShared):
    """B copies of L blocks and of the pool; choices ``(L - 1, B, B)`` of branches and ``(T, B)`` of tasks."""

    def __init__(self, options: LTB, encoder: Encoder, spec: InputSpec, tasks: tuple[str, ...]) -> None:
        branches = shared_experts(encoder, spec, options.branches)
        super().__init__(tasks, branches.width)
        self.options = options
        self.encoder, self.spec = encoder, spec
        self.branches = branches
        joints = len(branches.blocks) - 1
        self.parents = PerTask(0.01 * torch.randn(joints, options.branches, options.branches)) if joints else None
        self.ends = PerTask(0.01 * torch.randn(len(tasks), options.branches))
        self.progress = 0.0

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """The end that each task has chosen: ``(N, T, D)``."""
        everyone = range(self.branches.count)
        features = self.branches.start(inputs, everyone)
        for i in range(len(self.branches.blocks)):
            if i and self.parents is not None:
                features = Features(_mixed(self._choice(self.parents.values[i - 1]), features.values), features.mask)
            features = self.branches.step(i, features, everyone)
        ends = self.branches.end(features, everyone)
        return Representation(_mixed(self._choice(self.ends.values)[self.positions(tasks)], ends).transpose(0, 1))

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """How far tasks have made up their minds (entropy over log B), and how many blocks their tree has."""
        weights = self.ends.values.detach().softmax(-1)
        scale = math.log(max(self.options.branches, 2))
        found = {f"branch_entropy/{task}": entropy(weights[i]) / scale for i, task in enumerate(self.tasks)}
        return found | {"blocks_in_tree": torch.tensor(float(len({n for path in self.paths() for n in path})))}

    def advance(self, progress: float) -> None:
        """Warm-up, search, tree."""
        self.progress = progress

    def paths(self) -> tuple[Path, ...]:
        """For every task the branches of the likeliest tree, from the first block to the last: (block, branch)."""
        parents = [] if self.parents is None else self.parents.values.argmax(-1).tolist()
        found = []
        for end in self.ends.values.argmax(-1).tolist():
            path = [end]
            for choices in reversed(parents):
                path.append(choices[path[-1]])
            found.append(tuple(enumerate(reversed(path))))
        return tuple(found)

    def extract(self) -> TreeShared:
        """The likeliest tree as a network without choices; what one task alone runs through becomes private to it."""
        copies = [self.encoder.build(self.spec) for _ in range(self.branches.count)]
        for branch, stages in enumerate(copies):
            for i, block in enumerate(stages.blocks):
                _copy(self.branches.blocks[i], branch, block)
            _copy(self.branches.pool, branch, stages.pool)
        copies[0].stem.load_state_dict(self.branches.stem.state_dict())
        return TreeShared(self.tasks, copies, self.paths()).train(self.training)

    def common(self) -> Mapping[str, nn.Module]:
        """All branches, and their choices of parents."""
        return {"branches": self.branches} | ({} if self.parents is None else {"parents": self.parents})

    def own(self) -> Mapping[str, nn.Module]:
        """The tasks' choices."""
        return {"ends": self.ends}

    def _choice(self, logits: Tensor) -> Tensor:
        """Weights ``(..., B)`` of this pass."""
        options = self.options
        if not self.training or self.progress >= options.search:
            return one_hot(logits) + 0 * logits  # no gradient flows, but the graph knows the logits
        if self.progress < options.warmup:
            return torch.full_like(logits, 1 / options.branches) + 0 * logits
        done = (self.progress - options.warmup) / (options.search - options.warmup)
        return gumbel_softmax(logits, options.tau ** (1 - done) * options.tau_end**done, hard=True)


def _mixed(choice: Tensor, values: Tensor) -> Tensor:
    """``(C, B), (B, N, ...) -> (C, N, ...)``."""
    return (choice.to(values.dtype) @ values.flatten(1)).view(len(choice), *values.shape[1:])


def _copy(stack: nn.Module, branch: int, module: nn.Module) -> None:
    """Weights of one copy of a stack into a plain module: a stack prefixes the names of its weights."""
    if not isinstance(stack, Stack):
        raise TypeError(f"expected a Stack, found {type(stack).__name__}")
    state = stack.copy_state(branch)
    names = {name: next((k for k in state if k.endswith(f".{name}")), name) for name in module.state_dict()}
    module.load_state_dict({name: state[key] for name, key in names.items()})
