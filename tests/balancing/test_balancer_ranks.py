"""Several processes give the update of one process on the joint batch: every method, bare, under DDP, and sharded."""

from __future__ import annotations

import pytest
import torch
from rank_problems import SHARDED, Net, cases, config, disagree, losses_of, update, work
from torch import multiprocessing

from polytask.balancing import METHODS, Balancer, Need
from polytask.balancing.engine.engine import Ranks
from polytask.errors import UserError


def test_every_method_is_among_the_cases():
    assert {name for name, _, _ in cases()} == {
        name for name in METHODS if METHODS.find(name).needs is not Need.BILEVEL
    }


def test_a_combiner_at_features_is_refused_over_processes():
    net = Net()
    z, losses = losses_of(net, 0, 2)
    with pytest.raises(UserError, match="of which each process has a part"):
        Balancer("graddrop", on="features").backward(losses, features=z, ranks=Ranks(2, lambda tensor: tensor))


@pytest.mark.slow
@pytest.mark.parametrize(("world", "kinds"), [(2, ("bare", "fsdp")), (4, ("bare", "ddp")), (2, ("ddp",))])
def test_several_processes_are_one_on_the_joint_batch(tmp_path, world, kinds):
    multiprocessing.spawn(work, (str(tmp_path), world, kinds), nprocs=world)
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(world)]
    alone = {case: update(case) for case in cases()}
    size = len(next(iter(alone.values()))) // 3
    for kind in kinds:
        for case in SHARDED if kind == "fsdp" else cases():
            right = alone[case][-size:] if kind == "fsdp" else alone[case]
            for rank, found in enumerate(ranks):
                difference = float((found[kind, case] - right).abs().max())
                assert difference < 1e-10, f"{kind} {case}, process {rank} of {world}: {difference}"


@pytest.mark.slow
def test_processes_with_different_tasks_are_told_so_instead_of_waiting_for_ever(tmp_path):
    multiprocessing.spawn(disagree, (str(tmp_path), 2), nprocs=2)
    for rank in range(2):
        told = torch.load(tmp_path / f"{rank}.pt")
        assert [line.split(":")[0] for line in told] == ["mgda", "graddrop", "rlw"]
        assert all("the same tasks" in line for line in told)


def test_random_weights_are_the_same_on_every_process():
    def weights(rank):
        net = Net()
        _, losses = losses_of(net, rank, 2)
        return Balancer("rlw", seed=3).backward(losses, shared=net.trunk.parameters()).weights

    assert weights(0) == weights(1)
    assert config("rlw") == {"name": "rlw"}
