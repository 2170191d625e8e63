"""When the walk cannot be trusted: hooks, strange nodes, newer versions of torch."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from polytask.balancing import Balancer, Need, Weigher
from polytask.balancing.engine import batched
from polytask.balancing.engine.factors import Linear
from polytask.balancing.engine.rules import RULES
from polytask.errors import ConfigError


@dataclass(frozen=True)
class Tilted(Weigher):
    """Weights 1, 2, 3, ..."""

    needs = Need.GRAMIAN

    def weigh(self, evidence, state, rng):
        return torch.arange(1.0, len(evidence.losses) + 1).to(evidence.losses), state


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 6)
        self.heads = nn.ModuleList([nn.Linear(6, 2) for _ in range(3)])
        self.double()
        self.x = torch.randn(7, 5, dtype=torch.float64)
        self.hook = None
        self.head_hook = None

    @property
    def shared(self):
        return [*self.one.parameters(), *self.two.parameters()]

    def losses(self):
        middle = self.one(self.x).tanh()
        if self.hook is not None:
            middle.register_hook(self.hook)
        z = self.two(middle).relu()
        outputs = [head(z) for head in self.heads]
        if self.head_hook is not None:
            outputs[1].register_hook(self.head_hook)
        return {f"t{t}": y.square().mean() for t, y in enumerate(outputs)}

    def expected(self):
        losses = list(self.losses().values())
        rows = [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, self.shared, retain_graph=True)])
            for loss in losses
        ]
        heads = torch.autograd.grad(sum(losses), list(self.heads.parameters()))
        return torch.stack(rows), heads


def flat(parameters):
    return torch.cat([p.grad.flatten() for p in parameters])


def check(net, record):
    J, heads = net.expected()
    torch.testing.assert_close(record.gramian, J @ J.T, rtol=1e-10, atol=0)
    torch.testing.assert_close(flat(net.shared), record.weight_values @ J, rtol=1e-10, atol=1e-13)
    for parameter, expected in zip(net.heads.parameters(), heads, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("mode", ["keep", "forget", "sequential", "auto"])
def test_every_mode_gives_the_same(mode, caplog):
    net, balancer = Net(), Balancer(Tilted(), engine=mode)
    for _ in range(3):
        net.zero_grad()
        check(net, balancer.backward(net.losses(), shared=net.shared))
    assert not caplog.records


@pytest.mark.parametrize("where", ["hook", "head_hook"])
@pytest.mark.parametrize("mode", ["keep", "forget"])
def test_a_hook_on_a_tensor_is_found_and_obeyed(mode, where, caplog):
    """The walk does not run it; the guard notices in the first step, and ordinary passes take over in that step."""
    net, balancer = Net(), Balancer(Tilted(), engine=mode)
    setattr(net, where, lambda g: -3 * g)
    for _ in range(3):
        net.zero_grad()
        check(net, balancer.backward(net.losses(), shared=net.shared))
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "do not agree" in caplog.text


def test_a_hook_that_comes_later_is_found_by_the_length_of_the_update(caplog):
    """In this mode the update is autograd's, and is compared with the Gramian in every step."""
    net, balancer = Net(), Balancer(Tilted(), engine="forget")
    for _ in range(2):
        balancer.backward(net.losses(), shared=net.shared)
    net.hook = lambda g: 2 * g
    net.zero_grad()
    record = balancer.backward(net.losses(), shared=net.shared)  # the third: not one of 1, 2, 4, ...
    assert "length" in caplog.text
    torch.testing.assert_close(flat(net.shared), record.weight_values @ net.expected()[0], rtol=1e-10, atol=1e-13)
    net.zero_grad()
    check(net, balancer.backward(net.losses(), shared=net.shared))


def test_a_rule_that_fails_costs_time_and_nothing_else(monkeypatch, caplog):
    def broken(node, arrived):
        raise AttributeError("_saved_result")

    monkeypatch.setattr("polytask.balancing.engine.walk.RULES", {**RULES, "TanhBackward0": broken})
    net, balancer = Net(), Balancer(Tilted())
    for _ in range(2):
        net.zero_grad()
        check(net, balancer.backward(net.losses(), shared=net.shared))
    assert len(caplog.records) == 1
    assert "AttributeError: _saved_result" in caplog.text


def test_a_rule_that_is_wrong_is_found(monkeypatch, caplog):
    right = Linear.measure
    monkeypatch.setattr(Linear, "measure", lambda self: (1.01 * right(self)[0], right(self)[1]))
    net = Net()
    check(net, Balancer(Tilted()).backward(net.losses(), shared=net.shared))
    assert "do not agree" in caplog.text


def test_without_any_rule_every_node_runs_once_per_task(monkeypatch, caplog):
    monkeypatch.setattr("polytask.balancing.engine.walk.RULES", {})
    net = Net()
    check(net, Balancer(Tilted(), engine="keep").backward(net.losses(), shared=net.shared))
    assert not caplog.records


def test_a_small_budget_gives_the_same(monkeypatch):
    seen = []
    plain = batched.products
    monkeypatch.setattr(batched, "products", lambda *a, **k: seen.append(plain(*a, **k)) or seen[-1])
    for memory, kind in ((100, batched.Forgotten), (10**9, batched.Kept)):
        net = Net()
        check(net, Balancer(Tilted(), memory=memory).backward(net.losses(), shared=net.shared))
        assert isinstance(seen[-1], kind)


def test_unknown_modes_are_refused():
    with pytest.raises(ConfigError, match="Did you mean 'forget'"):
        Balancer(Tilted(), engine="forgets")


@pytest.mark.slow
def test_a_compiled_trunk():
    net = Net()
    trunk = torch.compile(nn.Sequential(net.one, nn.Tanh(), net.two, nn.ReLU()), backend="aot_eager")
    z = trunk(net.x)
    losses = {f"t{t}": head(z).square().mean() for t, head in enumerate(net.heads)}
    check(net, Balancer(Tilted()).backward(losses, shared=net.shared))
