"""A tree of dicts, lists, numbers and tensors as JSON plus safetensors: any ``state_dict``, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

TENSOR, DICT = "$tensor", "$dict"


def split_tree(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """A tree as JSON values and tensors by path.

    Dicts with other keys than text keep their keys; tuples become lists.

    >>> split_tree({"a": torch.ones(1), 3: [1, None]})
    ({'$dict': [['a', {'$tensor': 'a'}], [3, [1, None]]]}, {'a': tensor([1.])})
    """
    tensors: dict[str, Tensor] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            tensors[path] = node.detach().to("cpu", copy=True).contiguous()
            return {TENSOR: path}
        if isinstance(node, Mapping):
            inside = [(key, walk(value, f"{path}/{key}" if path else str(key))) for key, value in node.items()]
            plain = all(isinstance(key, str) and not key.startswith("$") for key in node)
            return dict(inside) if plain else {DICT: [list(pair) for pair in inside]}
        if isinstance(node, (list, tuple)):
            return [walk(value, f"{path}/{i}") for i, value in enumerate(node)]
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        raise TypeError(f"a {type(node).__name__} at {path!r} has no place in a checkpoint")

    return walk(tree, ""), tensors


def join_tree(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree behind :func:`split_tree`.

    :raises KeyError: a tensor is missing.
    """
    if isinstance(plain, dict):
        if TENSOR in plain:
            return tensors[plain[TENSOR]]
        pairs = plain[DICT] if DICT in plain else plain.items()
        return {key: join_tree(value, tensors) for key, value in pairs}
    if isinstance(plain, list):
        return [join_tree(value, tensors) for value in plain]
    return plain


def snapshot(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of tensors on the CPU, which later training leaves alone."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}


def random_state() -> dict[str, Tensor]:
    """The state of PyTorch's own generators, which dropout draws from."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state |= {f"cuda{i}": s for i, s in enumerate(torch.cuda.get_rng_state_all())}
    return state


def restore_random_state(state: Mapping[str, Tensor]) -> None:
    """Put the generators back; devices that are not there now are passed over."""
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available():
        for i in range(min(torch.cuda.device_count(), len(state) - 1)):
            torch.cuda.set_rng_state(state[f"cuda{i}"], i)
