"""A balancer's memory as plain tensors and JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Generator, Tensor

from polytask.balancing.memory import Memory
from polytask.balancing.reuse import Reuse
from polytask.errors import RunError

PLACE = "state of the balancer"


def take(header: Mapping[str, Any], memory: Memory, reuse: Reuse, rng: Generator) -> dict[str, Any]:
    """``{"tensors": {name: Tensor}, "meta": JSON values}``; the tensors share no memory."""
    tensors = {f"method.{key}": rows.clone() for key, rows in memory.state.items()}
    tensors |= {f"reuse.{key}": rows.clone() for key, rows in reuse.memory.state.items()}
    uses = {name: reuse.uses[name] for name in reuse.memory.names}
    meta = {**header, "tasks": list(memory.names), "width": memory.width, "reuse": uses}
    return {"tensors": {**tensors, "rng": rng.get_state()}, "meta": meta}


def check_meta(meta: Mapping[str, Any], header: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks that a snapshot remembers, if it was taken under ``header``.

    :raises RunError: the snapshot is of another version, method, or configuration, or is no snapshot.
    """
    for key, expected in header.items():
        if meta.get(key) != expected:
            raise RunError(
                f"expected {key} {expected}, found {meta.get(key)}.",
                where=PLACE,
                do="Build the balancer with the configuration that wrote the state.",
            )
    if "tasks" not in meta or "reuse" not in meta:
        raise RunError(f"expected the keys 'tasks' and 'reuse', found {sorted(meta)}.", where=PLACE)
    return tuple(meta["tasks"])


def restore(
    snapshot: Mapping[str, Any], fresh: Mapping[str, Tensor], memory: Memory, reuse: Reuse, rng: Generator
) -> None:
    """Put a snapshot back; nothing is changed when it does not fit.

    :param fresh: the initial state of the snapshot's tasks: names and shapes of the tensors that must be there.
    :raises RunError: a tensor is missing, superfluous, or of another shape.
    """
    tensors: Mapping[str, Tensor] = snapshot["tensors"]
    meta: Mapping[str, Any] = snapshot["meta"]
    expected = {f"method.{key}": tuple(rows.shape) for key, rows in fresh.items()}
    expected |= {"reuse.weights": (len(meta["reuse"]),)} if meta["reuse"] else {}
    expected["rng"] = tuple(rng.get_state().shape)
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    wrong = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    if wrong:
        lines = (f"{key}: expected {expected.get(key, 'none')}, found {found.get(key, 'none')}" for key in wrong)
        raise RunError(f"tensors are missing, superfluous or of another shape: {'; '.join(lines)}.", where=PLACE)
    rows = {key: tensors[f"method.{key}"].clone() for key in fresh}
    memory.replace(tuple(meta["tasks"]), rows, meta.get("width"))
    reuse.memory.replace(tuple(meta["reuse"]), {"weights": tensors["reuse.weights"].clone()} if meta["reuse"] else {})
    reuse.uses = dict(meta["reuse"])
    rng.set_state(tensors["rng"].cpu())
