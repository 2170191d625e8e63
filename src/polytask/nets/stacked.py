r"""Structurally equal networks as one: n copies of a module, their weights stacked, run as batched kernels.

Trunks of their own per task, experts and towers are n equal networks. In a Python loop each costs its kernel launches;
stacked, n linear layers are one batched product

.. math:: y_{cni} = \sum_j W_{cij} x_{cnj} + b_{ci}, \quad c = 1 \ldots n

and dropout still draws a mask per copy. Two ways to get there:

- layer by layer, for stages that say that they are ``stackable``: every layer with weights is replaced by its stacked
  form of ``polytask.nets.layers``, and the module's own code runs on values with one more leading dimension;
- ``torch.vmap`` over ``functional_call`` for any other module: nothing is asked of it (but recurrent layers, which vmap
  does not know), and dispatching costs about a tenth of a millisecond per call, which small networks notice;
- one after another for large modules (:class:`~polytask.nets.encoders.encoder.Part`), which keep a device busy alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from polytask.batch import Features, Inputs
from polytask.nets.encoders.encoder import Part, Stages
from polytask.nets.stacked_layers import STACKED_LAYERS

Given: TypeAlias = Features | Inputs | Tensor


class Stack(nn.Module):
    """n structurally equal modules as one. Every parameter and buffer has the leading dimension n.

    :param modules: the n modules; their weights are copied. Configuration (dropout) is that of the first.
    :param stackable: whether their code allows values with one more leading dimension; see
        :class:`~polytask.nets.encoders.encoder.Stages`.
    """

    def __init__(self, modules: Sequence[nn.Module], *, stackable: bool = False) -> None:
        super().__init__()
        self.count = len(modules)
        is_large = any(isinstance(part, Part) for part in modules[0].modules())
        self.copies = _layered(modules) if stackable else Looped(modules) if is_large else Vmapped(modules)

    def forward(self, given: Given) -> Features | Tensor:
        """What every copy makes of its own slice: Features or a tensor with the leading dimension n.

        :param given: values with the leading dimension n (:func:`repeated` adds it), or inputs, the same for all.
        """
        found: Features | Tensor = self.copies(given)
        return found

    def some(self, copies: Sequence[int], given: Given) -> Features | Tensor:
        """The same for these copies alone; ``given`` has one slice for each of them. For evaluation."""
        held = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        found: Features | Tensor
        if not held or list(copies) == list(range(self.count)):
            found = self(given)
            return found
        index = torch.tensor(list(copies), device=next(iter(held.values())).device)
        chosen = {name: value.index_select(0, index) for name, value in held.items()}
        found = functional_call(self, chosen, (given,))
        return found  # functional_call is not typed

    def rows(self, copies: Sequence[int], values: Tensor) -> Tensor:
        """The same for modules from tensor to tensor: ``(n', ...) -> (n', ...)``."""
        return _tensor(self.some(copies, values))

    def copy_parameters(self, copy: int) -> Iterator[Tensor]:
        """The slices of all parameters that belong to one copy."""
        return (parameter[copy] for parameter in self.parameters())

    def copy_state(self, copy: int) -> dict[str, Tensor]:
        """Weights and buffers of one copy by name, sharing memory with the stack."""
        return {name: value[copy] for name, value in self.state_dict().items()}


class StackedStages(nn.Module):
    """n encoders of one kind as one: the stages of :class:`Stages`, each stacked.

    :param stages: the n encoders.
    :param own_stem: False: all share the stem of the first, and only blocks and pool are stacked.
    """

    def __init__(self, stages: Sequence[Stages], *, own_stem: bool = True) -> None:
        super().__init__()
        first = stages[0]
        self.count = len(stages)
        self.width, self.channels, self.per_token = first.width, first.channels, first.per_token
        has_own = own_stem and any(True for _ in first.stem.parameters())
        self.stem: nn.Module = Stack([one.stem for one in stages]) if has_own else first.stem
        self.blocks = nn.ModuleList(
            Stack([one.blocks[i] for one in stages], stackable=first.stackable) for i in range(len(first.blocks))
        )
        poolings = [one.pool for one in stages]
        self.pool: nn.Module = Stack(poolings, stackable=first.stackable)

    def forward(self, inputs: Inputs, copies: Sequence[int] | None = None) -> Tensor:
        """``(n, N, width)``, or of these copies alone."""
        chosen = range(self.count) if copies is None else copies
        features = self.start(inputs, chosen)
        for block in range(len(self.blocks)):
            features = self.step(block, features, chosen)
        return self.end(features, chosen)

    def start(self, inputs: Inputs, copies: Sequence[int]) -> Features:
        """The stem's features of these copies: values ``(n', N, ...)``."""
        if isinstance(self.stem, Stack):
            return _features(self.stem.some(copies, inputs))
        return repeated(_features(self.stem(inputs)), len(copies))

    def step(self, block: int, features: Features, copies: Sequence[int]) -> Features:
        """One block of these copies."""
        return _features(as_stack(self.blocks[block]).some(copies, features))

    def end(self, features: Features, copies: Sequence[int]) -> Tensor:
        """The pools of these copies: ``(n', N, width)``."""
        found = as_stack(self.pool).some(copies, features)
        return found.values if isinstance(found, Features) else found

    def stacks(self) -> Iterator[Stack]:
        """The parts that have a copy of their own for each: the stem (if it is not shared), blocks, pool."""
        return (module for module in (self.stem, *self.blocks, self.pool) if isinstance(module, Stack))

    def shared_parts(self) -> Iterator[nn.Module]:
        """What all copies share: the stem, or nothing."""
        return iter(() if isinstance(self.stem, Stack) else (self.stem,))

    def copy_parameters(self, copy: int) -> Iterator[Tensor]:
        """The slices of parameters that belong to one copy."""
        for stack in self.stacks():
            yield from stack.copy_parameters(copy)

    def copy_state(self, copy: int) -> dict[str, Tensor]:
        """Weights and buffers of one copy by name."""
        parts = {"stem": self.stem, **{f"blocks.{i}": b for i, b in enumerate(self.blocks)}, "pool": self.pool}
        return {
            f"{name}.{key}": value
            for name, part in parts.items()
            if isinstance(part, Stack)
            for key, value in part.copy_state(copy).items()
        }


class Vmapped(nn.Module):
    """Any module, n times, by ``torch.vmap``; what :class:`Stack` holds when a module is not stackable."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.base = _with_all_weights(modules)

    def forward(self, given: Given) -> Features | Tensor:
        """See :class:`Stack`."""
        parameters, buffers = dict(self.base.named_parameters()), dict(self.base.named_buffers())
        if not parameters and not buffers:  # nothing to map over, and nothing that differs
            return self._plain(given)
        values = given.values if isinstance(given, Features) else given if isinstance(given, Tensor) else None
        mask: list[Tensor | None] = []

        def one(own: dict[str, Tensor], kept: dict[str, Tensor], value: Tensor | None) -> Tensor:
            result = functional_call(self.base, (own, kept), (_with_values(given, value),))
            if not isinstance(result, Features):
                return _tensor(result)
            mask.append(result.mask)
            return result.values

        map_over: Callable[..., Tensor] = torch.vmap(
            one, in_dims=(0, 0, None if values is None else 0), randomness="different"
        )
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no rule for vmap
            found = map_over(parameters, buffers, values)
        return Features(found, mask[0]) if mask else found

    def _plain(self, given: Given) -> Features | Tensor:
        if isinstance(given, Inputs):
            raise TypeError("a stack of modules without weights reads no inputs; run one of them and repeat")
        slices = given.values if isinstance(given, Features) else given
        found = [self.base(_with_values(given, value)) for value in slices]
        if isinstance(found[0], Features):
            return Features(torch.stack([one.values for one in found]), found[0].mask)
        return torch.stack(found)


class Looped(nn.Module):
    """Large modules, n times, one after another; what :class:`Stack` holds of :class:`Part`."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.base = _with_all_weights(modules)
        parts = [part for part in self.base.modules() if isinstance(part, Part)]
        self.checkpoint = any(part.checkpoint for part in parts)
        for part in parts:
            part.checkpoint = False  # it would be run anew with the weights of all copies

    def forward(self, given: Given) -> Features | Tensor:
        """See :class:`Stack`."""
        held = {**dict(self.base.named_parameters()), **dict(self.base.named_buffers())}
        values = given.values if isinstance(given, Features) else given if isinstance(given, Tensor) else None
        count = len(values) if values is not None else len(next(iter(held.values())))
        found = [
            self._one({name: value[i] for name, value in held.items()}, given, None if values is None else values[i])
            for i in range(count)
        ]
        joined = torch.stack([one.values if isinstance(one, Features) else one for one in found])
        return Features(joined, found[0].mask) if isinstance(found[0], Features) else joined

    def _one(self, own: dict[str, Tensor], given: Given, values: Tensor | None) -> Features | Tensor:
        """What one copy makes of its slice."""

        def run(values: Tensor | None) -> Features | Tensor:
            found: Features | Tensor = functional_call(self.base, own, (_with_values(given, values),))
            return found

        if self.checkpoint and self.training and torch.is_grad_enabled():
            found: Features | Tensor = checkpoint(run, values, use_reentrant=False)
            return found
        return run(values)


def _with_all_weights(modules: Sequence[nn.Module]) -> nn.Module:
    """A copy of the first module whose every parameter and buffer holds those of all."""
    base = copy.deepcopy(modules[0])
    for get in (nn.Module.named_parameters, nn.Module.named_buffers):
        held = [dict(get(module)) for module in modules]
        for name, value in held[0].items():
            joined = torch.stack([one[name].detach() for one in held])
            path, _, leaf = name.rpartition(".")
            owner = base.get_submodule(path)
            is_weight = isinstance(value, nn.Parameter)
            setattr(owner, leaf, nn.Parameter(joined, value.requires_grad) if is_weight else joined)
    return base


def repeated(features: Features, count: int) -> Features:
    """The same features for ``count`` copies, as a view ``(count, N, ...)``."""
    return Features(features.values.expand(count, *features.values.shape), features.mask)


def _layered(modules: Sequence[nn.Module]) -> nn.Module:
    """A copy of the first module with every layer that has weights replaced by its stacked form."""
    first = modules[0]
    for kind, stacked in STACKED_LAYERS.items():
        if isinstance(first, kind):
            return stacked(modules)
    if any(True for _ in first.named_parameters(recurse=False)):
        raise TypeError(f"{type(first).__name__} has weights of its own: build its Stages with stackable=False")
    children = [dict(module.named_children()) for module in modules]
    module = copy.deepcopy(first)
    for name in children[0]:
        setattr(module, name, _layered([one[name] for one in children]))
    return module


def _with_values(given: Given, values: Tensor | None) -> Given:
    if values is None or isinstance(given, Inputs):
        return given
    return Features(values, given.mask) if isinstance(given, Features) else values


def _features(found: object) -> Features:
    if not isinstance(found, Features):
        raise TypeError(f"expected Features, found {type(found).__name__}")
    return found


def _tensor(found: object) -> Tensor:
    if not isinstance(found, Tensor):
        raise TypeError(f"expected a tensor, found {type(found).__name__}")
    return found


def as_stack(module: nn.Module) -> Stack:
    """The module, for type checkers: lists of modules forget what they hold."""
    if not isinstance(module, Stack):
        raise TypeError(f"expected a Stack, found {type(module).__name__}")
    return module
