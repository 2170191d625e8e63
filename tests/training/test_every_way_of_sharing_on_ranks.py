"""Every way of sharing learns on two processes what it learns on one, as far as it is defined by rows and labels."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import sharing_child
import torch
from safetensors.torch import load_file

from polytask.nets.sharing import SHARING

CHILD = Path(sharing_child.__file__)

WITHOUT = {
    "ltb": {"warmup": 0.5, "search": 0.5},  # an epoch of equal parents, one of the tree; no noise between them
    "adashare": {"warmup": 0.5, "search": 0.5},  # likewise
    "shared_private": {"diff_weight": 0.0},
    "multi_level": {"side_weight": 0.0},
    "hierarchical": {"label_weight": 0.0},
    "aitm": {"calibrator": 0.0},
}
"""What ways of sharing are like without their noise, and without penalties on the rows of a batch."""

BY_RANK = {
    "ltb": "every process draws its own branches in the search",
    "adashare": "every process draws its own policy in the search",
    "shared_private": "spaces are kept apart on the rows of each process; products of rows do not add up",
    "multi_level": "side losses are means over the labelled rows of each process, in a unit of all",
    "hierarchical": "so are the losses of label embeddings",
    "mtan": "batch norms take the statistics of each process",
    "nddr": "batch norms take the statistics of each process",
}
"""Where two processes are not one, with the defaults: what they have learned must then be the same on both."""

ALONE = {"rotograd": "for one process"}
"""What has no meaning on several processes, and the words it is refused with."""

WAYS = {name: {"name": name} for name in SHARING} | {f"{n}-without": {"name": n, **o} for n, o in WITHOUT.items()}
EXACT = [label for label in WAYS if label not in {*BY_RANK, *ALONE}]
STILL = {"name": "nddr"}, {"lr": 1e-12, "optimizer": "sgd"}
"""Nothing moves but the running statistics of batch norms."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What both processes have learned; they go through all ways in one start."""
    folder = tmp_path_factory.mktemp("ranks")
    sharing_child.rows(192, missing=0.5, seed=3).write_parquet(folder / "rows.parquet")
    (folder / "ways.json").write_text(json.dumps({label: (way, {}) for label, way in WAYS.items()} | {"still": STILL}))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    place = {"NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(CHILD), str(folder)],
            env={**os.environ, **place, "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for child in children:
        _, err = child.communicate(timeout=300)
        assert child.returncode == 0, err.decode()
    return folder


def both(folder, label):
    return [load_file(folder / f"{label}.{rank}.safetensors") for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("label", [label for label in WAYS if label not in ALONE])
def test_both_processes_have_learned_the_same(folder, label):
    """Weights and buffers, bit for bit: whichever process saves the model, it is this one."""
    first, second = both(folder, label)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert all(values.isfinite().all() for values in first.values())
    assert any(values.any() for key, values in first.items() if key.startswith("heads"))


@pytest.mark.slow
@pytest.mark.parametrize("label", EXACT)
def test_two_processes_are_one(folder, label):
    """All but the running units of side losses, which here have no weight: they are means of means over batches."""
    one = sharing_child.learned(WAYS[label], sharing_child.read(folder / "rows.parquet"))
    for key, values in both(folder, label)[0].items():
        if not key.endswith(".unit"):
            torch.testing.assert_close(values, one[key], rtol=1e-5, atol=2e-6, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.slow
def test_running_means_are_those_of_all_rows(folder):
    """The mean over halves of a batch, averaged, is that of the batch, where both norms are given the same rows."""
    way, options = STILL
    one = sharing_child.learned(way, sharing_child.read(folder / "rows.parquet"), **options)
    found = [key for key in one if "layers.0" in key and key.endswith("running_mean")]
    assert found
    for key in found:
        assert one[key].any()
        for rank in both(folder, "still"):
            torch.testing.assert_close(rank[key], one[key], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("label", ALONE)
def test_what_is_for_one_process_says_so_on_both(folder, label):
    for rank in range(2):
        assert ALONE[label] in (folder / f"{label}.{rank}.txt").read_text()
