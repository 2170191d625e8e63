"""Two processes on halves of each batch do what one process does on the whole, for any subset of labels."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import ranks_child
import torch
from safetensors.torch import load_file

from polytask.training.ranks import with_value

CHILD = Path(ranks_child.__file__)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def run_ranks(table, folder, balancer, **options):
    """Both ranks; where each saved its weights."""
    port = str(free_port())
    outs = [folder / f"rank{rank}.safetensors" for rank in range(2)]
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(CHILD), str(table), str(out), balancer, json.dumps(options)],
            env={
                **os.environ,
                "LOCAL_RANK": str(rank),
                "NODE_RANK": "0",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            },
            stderr=subprocess.PIPE,
        )
        for rank, out in enumerate(outs)
    ]
    for child in children:
        _, err = child.communicate(timeout=120)
        assert child.returncode == 0, err.decode()
    return outs


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("uncertainty", "pcgrad", "mgda", "config", "graddrop")]


@pytest.mark.parametrize("balancer", ["equal", "cagrad", *SLOW])
def test_two_processes_are_one(make_world, tmp_path, balancer):
    """Labels are so sparse (8 %) that ranks often lack a task that the other has, and the last batch is uneven."""
    frame = make_world(rows=203, missing=0.92, seed=3).frame.with_columns(pl.col("x5").fill_null(0))
    table = tmp_path / "train.parquet"
    frame.write_parquet(table)
    ranks_child.main(table, tmp_path / "one.safetensors", balancer)
    first, second = map(load_file, run_ranks(table, tmp_path, balancer))
    one = load_file(tmp_path / "one.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    for key in one:
        torch.testing.assert_close(first[key], one[key], rtol=1e-4, atol=1e-5)
    assert one["heads.yes.weight"].any()


@pytest.mark.slow
def test_each_process_weighs_by_a_part_of_its_rows(make_world, tmp_path):
    """A share just below 1 keeps all rows of these batches, so the second passes must give what the first ones do."""
    frame = make_world(rows=203, missing=0.92, seed=3).frame.with_columns(pl.col("x5").fill_null(0))
    table = tmp_path / "train.parquet"
    frame.write_parquet(table)
    ranks_child.main(table, tmp_path / "one.safetensors", "cagrad")
    first, second = map(load_file, run_ranks(table, tmp_path, "cagrad", balance_rows=0.99))
    one = load_file(tmp_path / "one.safetensors")
    assert all(torch.equal(first[key], second[key]) for key in first)
    for key in one:
        torch.testing.assert_close(first[key], one[key], rtol=1e-4, atol=1e-5)
    first, second = map(load_file, run_ranks(table, tmp_path, "cagrad", balance_rows=0.3))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.allclose(first[key], one[key], rtol=1e-3) for key in one)


@pytest.mark.slow
@pytest.mark.parametrize("balancer", ["modo", "dtp"])
def test_what_balancers_are_shown_is_the_same_on_all_processes(make_world, tmp_path, balancer):
    """Halves of sparse batches often lack a task, on one process or on both; nobody waits for the other."""
    frame = make_world(rows=203, missing=0.6, seed=3).frame.with_columns(pl.col("x5").fill_null(0))
    table = tmp_path / "train.parquet"
    frame.write_parquet(table)
    first, second = map(load_file, run_ranks(table, tmp_path, balancer))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert all(values.isfinite().all() for values in first.values())


def test_a_value_with_the_gradient_of_another_number():
    graded = torch.tensor([1.0, 2.0], requires_grad=True)
    seen = with_value(graded * 3, torch.tensor([1e30, -5.0]))
    assert seen.tolist() == torch.tensor([1e30, -5.0]).tolist()  # exact, without the rounding of x + (y - x)
    seen.sum().backward()
    assert graded.grad.tolist() == [3.0, 3.0]
