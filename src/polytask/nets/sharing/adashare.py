"""AdaShare: tasks that choose which blocks to run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec, Targets
from polytask.catalogue import Paper
from polytask.errors import ConfigError
from polytask.nets.encoders.encoder import Encoder, Stages
from polytask.nets.sharing.checks import above, at_least, within
from polytask.nets.sharing.conditioned import PerTask
from polytask.nets.sharing.parted import PartedShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.nets.sharing.straight_through import gumbel_softmax, one_hot
from polytask.nets.sharing.task_trunk import TaskTrunk, common_parts, common_state
from polytask.nets.stacked import repeated
from polytask.tasks.task import Target


@dataclass(frozen=True)
class AdaShare(Sharing):
    r"""One trunk, of which every task learns which blocks to execute and which to skip.

    .. math:: x^{l+1}_t = p^l_{t0} \, f^l(x^l_t) + p^l_{t1} \, x^l_t, \qquad
              p^l_t = \mathrm{softmax}((\theta^l_t + G) / \tau), \; G \sim \mathrm{Gumbel}

    .. math:: \text{penalty} = \lambda_1 \sum_t \frac{1}{L} \sum_l \frac{2 l}{L} \mathrm{CE}(\theta^l_t, \text{skip})
              + \lambda_2 \sum_l \frac{l}{L} \sum_{s < t} \lvert \theta^l_{s0} - \theta^l_{t0} \rvert

    In evaluation, and in training once the search is over, a task executes a block or skips it, whichever has the
    larger logit. Training passes through three phases: all blocks on; the search, in which blocks open from the last
    one backwards, all of them by half of it; the chosen network, with the policy fixed. Weights are shared, policies
    are private.

    The policy of the warm-up and of the search is not the final one: training keeps no epoch of them, and does not stop
    early in them.

    Deviations: a pass executes or skips a block, with the gradient of the soft policy (straight-through), where the
    paper blends both, so that what is trained is what evaluation runs. Weights and policies learn together from the
    same rows (the paper alternates between two parts of the training split); the chosen policy is the likeliest, not a
    sample, and the network goes on instead of starting afresh; the first block, which may change the shape of what it
    is given, is always executed.

    :param tau: τ of the first search epoch.
    :param tau_end: τ of the last one; between them it falls geometrically.
    :param sparsity_weight: :math:`\lambda_1`.
    :param sharing_weight: :math:`\lambda_2`.
    :param warmup: share of the epochs with all blocks on.
    :param search: share of the epochs after which the policy is fixed.
    """

    paper: ClassVar[Paper | None] = Paper(
        "Sun, Panda, Feris, Saenko",
        "AdaShare: learning what to share for efficient deep multi-task learning",
        "NeurIPS",
        2020,
    )

    tau: float = 5.0
    tau_end: float = 0.5
    sparsity_weight: float = 0.05
    sharing_weight: float = 0.05
    warmup: float = 0.1
    search: float = 0.7

    def __post_init__(self) -> None:
        above(0, tau=self.tau, tau_end=self.tau_end)
        at_least(0, sparsity_weight=self.sparsity_weight, sharing_weight=self.sharing_weight)
        within(0, 1, warmup=self.warmup)
        within(self.warmup, 1, search=self.search)

    @property
    def settled(self) -> float:
        """The end of the search."""
        return self.search

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        """The trunk and the policies.

        :raises polytask.errors.ConfigError: the encoder has one block only: nothing to choose.
        """
        stages = encoder.build(spec)
        if len(stages.blocks) < 2:
            raise ConfigError("expected an encoder with at least 2 blocks, found 1.", where="encoder.depth")
        return AdaShareShared(self, tuple(target.task.name for target in targets), stages)


class AdaShareShared(PartedShared):
    """One trunk and T policies on all blocks but the first. Logit 0: execute; logit 1: skip."""

    def __init__(self, options: AdaShare, tasks: tuple[str, ...], stages: Stages) -> None:
        super().__init__(tasks, stages.width)
        self.options = options
        self.stem = stages.stem
        self.trunk = TaskTrunk(stages, len(tasks))
        self.policy = PerTask(torch.zeros(len(tasks), len(stages.blocks) - 1, 2))
        self.progress = 0.0

    def forward(self, inputs: Inputs, tasks: tuple[str, ...] | None = None) -> Representation:
        """What the blocks that a task executes make of the rows: ``(N, T, D)``."""
        positions = self.positions(tasks)
        policy = self._drawn()[positions]
        stem: Features = self.stem(inputs)
        features = self.trunk.step(0, repeated(stem, len(positions)), positions)
        for block in range(1, self.trunk.blocks):
            done = self.trunk.step(block, features, positions)
            share = policy[:, block - 1].view(len(positions), 2, *[1] * (done.values.ndim - 1))
            features = Features(blend(done.values, features.values, share[:, 0], share[:, 1]), done.mask)
        return Representation(self.trunk.end(features, positions).transpose(0, 1))

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        """Sparsity and sharing of the policies, while they are searched for."""
        if not self.options.warmup <= self.progress < self.options.search:
            return None
        logits = self.policy.values
        return self.options.sparsity_weight * sparsity(logits) + self.options.sharing_weight * disagreement(logits)

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        """The share of the open blocks that each task executes."""
        executed = one_hot(self.policy.values.detach())[..., 0].mean(1)
        return {f"executed/{task}": executed[i] for i, task in enumerate(self.tasks)}

    def advance(self, progress: float) -> None:
        """Warm-up, search, chosen network."""
        self.progress = progress

    def common(self) -> Mapping[str, nn.Module]:
        """The trunk."""
        return common_parts(self.stem, self.trunk)

    def common_state(self) -> dict[str, Tensor]:
        """The trunk, named as in hard sharing."""
        return common_state(self.stem, self.trunk)

    def own(self) -> Mapping[str, nn.Module]:
        """The policies, and the tasks' running statistics."""
        return {"policy": self.policy, "statistics": self.trunk.statistics}

    def _drawn(self) -> Tensor:
        """The policy of this pass, ``(T, L, 2)``."""
        logits, options = self.policy.values, self.options
        if not self.training or self.progress >= options.search:
            return one_hot(logits) + 0 * logits  # no gradient flows, but the graph knows the logits
        if self.progress < options.warmup:
            return one_hot(torch.zeros_like(logits)) + 0 * logits
        done = (self.progress - options.warmup) / (options.search - options.warmup)
        drawn = gumbel_softmax(logits, options.tau ** (1 - done) * options.tau_end**done, hard=True)
        blocks = logits.shape[1]
        is_open = torch.arange(blocks, device=logits.device) >= blocks - math.ceil((done + 1e-9) * 2 * blocks)
        return torch.where(is_open[:, None], drawn, one_hot(torch.zeros_like(logits)))


def blend(done: Tensor, given: Tensor, execute: Tensor, skip: Tensor) -> Tensor:
    """What leaves a block: its output and its input, weighed by the policy."""
    return execute * done + skip * given


def sparsity(logits: Tensor) -> Tensor:
    """Cross-entropy towards skipping, heavier for late blocks, summed over tasks: ``(T, L, 2) -> ()``."""
    blocks = logits.shape[1]
    depth = torch.arange(1, blocks + 1, device=logits.device) / blocks
    return (-logits.log_softmax(-1)[..., 1] * 2 * depth).mean(1).sum()


def disagreement(logits: Tensor) -> Tensor:
    """How far tasks are apart in their logits of execution, heavier for late blocks: ``(T, L, 2) -> ()``."""
    blocks = logits.shape[1]
    depth = torch.arange(1, blocks + 1, device=logits.device) / blocks
    execute = logits[..., 0]
    apart = (execute[:, None] - execute[None]).abs()  # every pair twice
    return (apart * depth).sum() / 2
