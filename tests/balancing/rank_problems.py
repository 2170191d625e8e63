"""One small problem, cut into the batches of several processes, and what a process does with its part."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from polytask.balancing import METHODS, Balancer, Combiner, Need
from polytask.balancing.engine.engine import Ranks
from polytask.batch import TaskLosses

NAMES = ("a", "b", "c")
N = 24
CUTS = {1: (0, N), 2: (0, 10, N), 4: (0, 5, 10, 16, N)}
LABELLED = torch.ones(N, 3, dtype=torch.bool)
LABELLED[10:, 1] = False  # of several processes, some have no row of the task b
LABELLED[3:7, 2] = False
EXTRA = {
    "cr_mogm": {"method": "mgda"},
    "gcs": {"main": ["a"]},
    "ol_aux": {"main": ["a"]},
    "fixed": {"weights": {"a": 1.0, "b": 0.5, "c": 2.0}},
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6))
        self.heads = nn.ModuleList([nn.Linear(6, 1) for _ in NAMES])
        self.double()

    def forward(self, x):
        z = self.trunk(x)
        return z, torch.cat([head(z) for head in self.heads], 1)


def data():
    rng = torch.Generator().manual_seed(7)
    return (
        torch.randn(N, 4, generator=rng, dtype=torch.float64),
        torch.randn(N, 3, generator=rng, dtype=torch.float64),
    )


def losses_of(net, rank, world, *, vector=True):
    """The features, and losses as the contract wants them: their mean over processes is the joint loss."""
    x, y = data()
    rows = slice(CUTS[world][rank], CUTS[world][rank + 1])
    z, outputs = net(x[rows])
    there, count = LABELLED[rows], LABELLED.sum(0)
    own = ((outputs - y[rows]).square() * there).sum(0) * world / count
    bare = net.module if isinstance(net, DistributedDataParallel) else net
    with torch.no_grad():
        whole = ((bare(x)[1] - y).square() * LABELLED).sum(0) / count
    values = own + (whole - own).detach()
    losses = TaskLosses(NAMES, values, count.double()) if vector else dict(zip(NAMES, values.unbind(), strict=True))
    return z, losses


def config(name):
    return {"name": name, **EXTRA.get(name, {})}


def cases():
    """Every method where it can be: (name, on, every)."""
    for name in METHODS:
        if METHODS.find(name).needs is Need.BILEVEL:
            continue
        method = METHODS.build(config(name))
        yield name, "parameters", 1
        if method.needs is Need.GRAMIAN:
            yield name, "features", 1
        if method.needs is not Need.LOSSES and not isinstance(method, Combiner):
            yield name, "parameters", 2


def update(case, rank=0, world=1, ranks=None, *, ddp=False):
    """All parameters after each of three steps."""
    name, on, every = case
    bare = Net()
    net = DistributedDataParallel(bare) if ddp else bare
    balancer = Balancer(config(name), on=on, every=every)
    found = []
    for _ in range(3):
        bare.zero_grad()
        z, losses = losses_of(net, rank, world)
        balancer.backward(losses, shared=bare.trunk.parameters(), features=z, ranks=ranks)
        for parameter in bare.parameters():
            gradient = parameter.grad if ranks is None or ddp else ranks.mean(parameter.grad)
            parameter.data.sub_(0.05 * gradient)
        found.append(torch.cat([p.detach().flatten() for p in bare.parameters()]))
    return torch.cat(found)


def sharded(case, rank, world, ranks):
    """The same with a trunk that is cut into shards (FSDP2): the trunk's parameters after three steps."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    name, on, every = case
    net = Net()
    twin = Net()  # what the losses of the joint batch are computed with
    fully_shard(net.trunk, mesh=init_device_mesh("cpu", (world,)))
    balancer = Balancer(config(name), on=on, every=every)
    x, y = data()
    rows = slice(CUTS[world][rank], CUTS[world][rank + 1])
    there, count = LABELLED[rows], LABELLED.sum(0)
    for _ in range(3):
        net.zero_grad()
        z, outputs = net(x[rows])
        own = ((outputs - y[rows]).square() * there).sum(0) * world / count
        twin.trunk.load_state_dict({key: value.full_tensor() for key, value in net.trunk.state_dict().items()})
        twin.heads.load_state_dict(net.heads.state_dict())
        with torch.no_grad():
            whole = ((twin(x)[1] - y).square() * LABELLED).sum(0) / count
        values = dict(zip(NAMES, (own + (whole - own).detach()).unbind(), strict=True))
        balancer.backward(values, shared=net.trunk.parameters(), features=z, ranks=ranks)
        for parameter in net.trunk.parameters():
            parameter.data.sub_(0.05 * parameter.grad)
        for parameter in net.heads.parameters():
            parameter.data.sub_(0.05 * ranks.mean(parameter.grad))
    whole = [p.full_tensor() for p in net.trunk.parameters()] + list(net.heads.parameters())
    return torch.cat([p.detach().flatten() for p in whole])


SHARDED = [
    (name, on, every)
    for name, on, every in cases()
    if METHODS.build(config(name)).needs is Need.LOSSES
    or (not isinstance(METHODS.build(config(name)), Combiner) and METHODS.build(config(name)).needs is Need.GRAMIAN)
]


def meet(rank, folder, world):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)

    def mean(tensor):
        total = tensor.clone()
        dist.all_reduce(total)
        return total / world

    return Ranks(world, mean)


def work(rank, folder, world, kinds):
    """Everything that a process does, in one life: starting one takes seconds."""
    ranks = meet(rank, folder, world)
    found = {}
    for kind in kinds:
        for case in SHARDED if kind == "fsdp" else cases():
            if kind == "fsdp":
                found[kind, case] = sharded(case, rank, world, ranks)
            else:
                found[kind, case] = update(case, rank, world, ranks, ddp=kind == "ddp")
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def disagree(rank, folder, world):
    """Processes that see different tasks: what each is told."""
    ranks = meet(rank, folder, world)
    told = []
    for name in ("mgda", "graddrop", "rlw"):
        net = Net()
        _, losses = losses_of(net, rank, world, vector=False)
        if rank == 1:
            losses["b"] = None
        try:
            Balancer(name).backward(losses, shared=net.trunk.parameters(), ranks=ranks)
        except Exception as error:
            told.append(f"{name}: {error}")
    torch.save(told, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
