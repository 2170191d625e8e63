"""Weights from a part of the rows, and which way the engine takes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polytask.balancing import METHODS, Balancer, Evidence
from polytask.balancing.engine import cost
from polytask.balancing.engine.cost import walk_pays
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given
from polytask.balancing.one_shot import answer
from polytask.balancing.quiet import quiet
from polytask.errors import UserError

NAMES = ("a", "b", "c")
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
