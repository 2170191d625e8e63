"""Checkpoints: everything that the next step depends on, in a folder that is whole or not there.

``checkpoints/<epoch>-<step>/`` holds ``state.safetensors`` (weights, optimizer, balancer, best weights, random
generators, sums of the running epoch) and ``state.json`` (everything else). There is no pickle, and reading one
executes nothing. The newest folder counts; older ones are removed after it has its name.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from polytask.errors import RunError
from polytask.record.folder import read_file, whole_folder, write_file
from polytask.training.progress import Progress
from polytask.training.step import Stepper
from polytask.training.tree import join_tree, random_state, restore_random_state, split_tree

FOLDER = "checkpoints"
TENSORS, PLAIN = "state.safetensors", "state.json"
FORMAT = 1


def save_checkpoint(run: Path, stepper: Stepper, progress: Progress) -> Path:
    """Write a checkpoint below ``run``, then remove the older ones."""
    tree = {
        "format": FORMAT,
        "model": dict(stepper.model.state_dict()),
        "optimizer": stepper.optimizer.state_dict(),
        "balancer": stepper.balancer.state_dict(),
        "precision": stepper.fabric.strategy.precision.state_dict(),
        "progress": progress.state(),
        "tally": stepper.tally.sums,
        "gradients": stepper.gradients.state(),
        "random": random_state(),
    }
    plain, tensors = split_tree(tree)
    place = run / FOLDER / f"{progress.epoch:06d}-{progress.step:09d}"
    if not place.exists():  # it does after a resume that had nothing to do
        with whole_folder(place) as inside:
            write_file(inside / TENSORS, save(tensors))
            write_file(inside / PLAIN, json.dumps(plain).encode())
    for other in (run / FOLDER).iterdir():
        if other != place:
            shutil.rmtree(other, ignore_errors=True)
    return place


def load_checkpoint(run: Path, stepper: Stepper) -> Progress | None:
    """Put the newest checkpoint below ``run`` into the stepper; None if the run was killed before the first.

    :raises RunError: it is damaged, or of a newer version.
    """
    folder = run / FOLDER
    places = sorted(p for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    if not places:
        return None
    tree = _read(places[-1])
    stepper.model.load_state_dict(tree["model"])
    stepper.optimizer.load_state_dict(tree["optimizer"])
    stepper.balancer.load_state_dict(tree["balancer"])
    stepper.fabric.strategy.precision.load_state_dict(tree["precision"])
    stepper.tally.sums.copy_(tree["tally"])
    if "gradients" in tree:  # not in those of older versions
        stepper.gradients.restore(tree["gradients"])
    restore_random_state(tree["random"])
    return Progress.restore(tree["progress"])


def _read(place: Path) -> dict[str, Any]:
    try:
        plain = json.loads(read_file(place / PLAIN))
        found = plain["format"]
        if found > FORMAT:
            raise RunError(
                f"the checkpoint has format {found}, newer than this version of Polytask understands ({FORMAT}).",
                where=str(place),
                do="Update Polytask: pip install --upgrade polytask",
            )
        tree: dict[str, Any] = join_tree(plain, load(read_file(place / TENSORS)))
    except RunError:
        raise
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(
            f"the checkpoint is damaged: {error}.", where=str(place), do="Start the run again in a new folder."
        ) from error
    return tree
