"""Weights from a part of the rows, and over several processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing, nn

from polytask.balancing import METHODS, Balancer, Evidence, Need
from polytask.balancing.engine import cost
from polytask.balancing.engine.cost import walk_pays
from polytask.balancing.engine.engine import Ranks
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given
from polytask.balancing.one_shot import answer
from polytask.balancing.quiet import quiet
from polytask.batch import TaskLosses
from polytask.errors import UserError

NAMES = ("a", "b", "c")
CONFIGS = {"cr_mogm": {"method": "mgda"}, "gcs": {"main": ["a"]}, "ol_aux": {"main": ["a"]}}
WEIGHERS = ["mgda", "pcgrad", "nash_mtl", "upgrad"]


class Net(nn.Module):
    def __init__(self, norm=True):
        super().__init__()
        torch.manual_seed(5)
        self.trunk = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.Tanh(), nn.Linear(8, 6)
        )
        self.heads = nn.ModuleList([nn.Linear(6, 1) for _ in NAMES])
        self.double()
        self.x, self.y = torch.randn(24, 4, dtype=torch.float64), torch.randn(24, 3, dtype=torch.float64)

    def losses(self, rows=slice(None)):
        z = self.trunk(self.x[rows])
        return {
            n: (h(z)[:, 0] - self.y[rows, t]).square().mean()
            for t, (n, h) in enumerate(zip(NAMES, self.heads, strict=True))
        }

    def rows(self, losses):
        at = list(self.trunk.parameters())
        grads = [torch.autograd.grad(loss, at, retain_graph=True) for loss in losses.values()]
        return torch.stack([torch.cat([g.flatten() for g in row]) for row in grads])


def flat(parameters):
    return torch.cat([p.grad.flatten() for p in parameters])


@pytest.mark.parametrize("name", WEIGHERS)
def test_weights_from_a_part_and_the_update_from_all(name):
    net, twin = Net(), Net()
    losses = net.losses()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with quiet(net):
        part = net.losses(slice(0, 8))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    record = Balancer(name).backward(losses, shared=net.trunk.parameters(), evidence=part)
    full, small = twin.rows(twin.losses()), twin.rows(twin.losses(slice(0, 8)))
    torch.testing.assert_close(record.gramian, small @ small.T, rtol=1e-10, atol=1e-14)
    method = METHODS.build(name)
    given = Evidence(torch.stack(list(losses.values())).detach(), small @ small.T)
    weights = answer(method, given, method.init(NAMES, given.losses), torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(record.weight_values, weights, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(flat(net.trunk.parameters()), weights @ full, rtol=1e-8, atol=1e-10)
    plain = torch.autograd.grad(sum(twin.losses().values()), list(twin.heads.parameters()))
    for parameter, expected in zip(net.heads.parameters(), plain, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-13)


def test_a_part_must_be_of_the_same_tasks():
    net = Net()
    part = net.losses()
    del part["b"]
    with pytest.raises(UserError, match="expected the tasks a, b, c, found a, c"):
        Balancer("mgda").backward(net.losses(), shared=net.trunk.parameters(), evidence=part)
    with pytest.raises(UserError, match="answers with an update"):
        Balancer("graddrop").backward(net.losses(), shared=net.trunk.parameters(), evidence=net.losses())


@pytest.mark.parametrize("fast", [1.0, 0.4])
def test_which_way_is_cheaper(monkeypatch, fast):
    """Two tasks on a large batch: ordinary passes, unless the walk's products are faster. Many tasks, or few rows: the
    walk."""
    monkeypatch.setattr(cost, "speed", lambda device: fast)

    def pays(T, rows, trunk, shape):
        z = trunk(torch.randn(rows, *shape, dtype=torch.float32)).flatten(1)
        losses = tuple((z * t).square().mean() for t in range(1, T + 1))
        return walk_pays(Survey(Given(tuple(map(str, range(T))), losses), list(trunk.parameters())))

    mlp = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128))
    assert pays(2, 512, mlp, (64,)) == (fast < 1)
    assert pays(8, 16, mlp, (64,))
    assert pays(20, 64, mlp, (64,))
    assert not pays(8, 16, nn.Conv2d(3, 16, 3), (3, 16, 16))


# --- several processes -------------------------------------------------------------------------------------------

SPLIT = (slice(0, 10), slice(10, 24))
LABELLED = torch.ones(24, 3, dtype=torch.bool)
LABELLED[10:, 1] = False  # the second process has no row of the task b
LABELLED[3:7, 2] = False


def joint(net, rows, world):
    """Losses as a process with these rows gives them: the mean over processes is the joint loss."""
    z = net.trunk(net.x[rows])
    outputs = torch.cat([head(z) for head in net.heads], 1)
    there = LABELLED[rows]
    sums = ((outputs - net.y[rows]).square() * there).sum(0)
    own = sums * world / LABELLED.sum(0)
    whole = (
        ((torch.cat([h(net.trunk(net.x)) for h in net.heads], 1) - net.y).square() * LABELLED).sum(0) / LABELLED.sum(0)
    ).detach()
    return z, TaskLosses(NAMES, own + (whole - own).detach(), LABELLED.sum(0).double())


def update(name, on, rows, ranks):
    net = Net(norm=False)
    balancer = Balancer({"name": name, **CONFIGS.get(name, {})}, on=on)
    found = []
    for _ in range(2):
        net.zero_grad()
        z, losses = joint(net, rows, 1 if ranks is None else ranks.size)
        balancer.backward(losses, shared=net.trunk.parameters(), features=z, ranks=ranks)
        for parameter in net.parameters():
            gradient = parameter.grad if ranks is None else ranks.mean(parameter.grad)
            parameter.data.sub_(0.05 * gradient)
        found.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    return torch.cat(found)


def cases():
    named = {name: METHODS.find(name) for name in METHODS}
    gradient = [name for name in named if METHODS.build(config(name)).needs is not Need.LOSSES]
    return [(name, "parameters") for name in gradient] + [
        (name, "features") for name in gradient if METHODS.build(config(name)).needs is Need.GRAMIAN
    ]


def config(name):
    return {"name": name, **{"fixed": {"weights": dict.fromkeys(NAMES, 1.0)}}.get(name, CONFIGS.get(name, {}))}


def work(rank, folder):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

    def mean(tensor):
        total = tensor.clone()
        dist.all_reduce(total)
        return total / 2

    found = {f"{name} {on}": update(name, on, SPLIT[rank], Ranks(2, mean)) for name, on in cases()}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_a_combiner_at_features_is_refused_over_processes():
    net = Net()
    z, losses = joint(net, SPLIT[0], 2)
    with pytest.raises(UserError, match="of which each process has a part"):
        Balancer("graddrop", on="features").backward(losses, features=z, ranks=Ranks(2, lambda tensor: tensor))


@pytest.mark.slow
def test_two_processes_are_one_on_the_joint_batch(tmp_path):
    multiprocessing.spawn(work, (str(tmp_path),), nprocs=2)
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, on in cases():
        alone = update(name, on, slice(None), None)
        for found in (one[f"{name} {on}"], two[f"{name} {on}"]):
            difference = float((found - alone).abs().max())
            assert difference < 1e-10, f"{name} on {on}: {difference}"
