"""Weights from a random part of the rows that the balancer draws itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from polytask.balancing import Balancer, weigh
from polytask.balancing.part import draw_rows
from polytask.errors import ConfigError, UserError

NAMES = ("a", "b")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Regression:
    """Two linear tasks; ``asked`` remembers the rows that the balancer asked for."""

    def __init__(self):
        torch.manual_seed(1)
        self.trunk, self.heads = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
        self.x, self.y = torch.randn(40, 3, dtype=torch.float64), torch.randn(40, 2, dtype=torch.float64)
        self.asked = []

    def losses(self, rows=slice(None)):
        values = (self.heads(self.trunk(self.x[rows])) - self.y[rows]).square().mean(0)
        return dict(zip(NAMES, values.unbind(), strict=True))

    def forward(self, rows):
        self.asked.append(rows)
        return self.losses(rows)

    def step(self, balancer):
        return balancer.backward(
            self.losses(), shared=self.trunk.parameters(), forward=self.forward, labelled=len(self.x)
        )

    def gramian(self, rows):
        at = list(self.trunk.parameters())
        grads = [torch.autograd.grad(loss, at) for loss in (self.losses(rows)[name] for name in NAMES)]
        J = torch.stack([torch.cat([g.flatten() for g in row]) for row in grads])
        return J @ J.T


def test_weights_come_from_the_rows_that_were_asked_for():
    problem = Regression()
    record = problem.step(Balancer("mgda", rows=0.25))
    (rows,) = problem.asked
    assert len(rows) == 10
    assert rows.tolist() == sorted(set(rows.tolist()))
    expected = weigh("mgda", gramian=problem.gramian(rows))
    torch.testing.assert_close(record.weight_values, expected, rtol=1e-10, atol=1e-12)
    at = list(problem.trunk.parameters())
    total = sum(w * loss for w, loss in zip(expected, problem.losses().values(), strict=True))
    for parameter, right in zip(at, torch.autograd.grad(total, at), strict=True):
        torch.testing.assert_close(parameter.grad, right, rtol=1e-10, atol=1e-12)


def test_rows_are_asked_for_only_when_weights_are_due_and_go_on_from_a_state():
    problem, other = Regression(), Regression()
    balancer = Balancer("upgrad", rows=0.25, every=3)
    for _ in range(7):
        problem.step(balancer)
    assert len(problem.asked) == 3
    again = Balancer("upgrad", rows=0.25, every=3, seed=9)
    again.load_state_dict(balancer.state_dict())
    for _ in range(3):
        problem.step(balancer)
        other.step(again)
    assert torch.equal(problem.asked[-1], other.asked[-1])
    assert not torch.equal(problem.asked[-1], problem.asked[-2])


def test_features_come_with_the_losses():
    problem = Regression()
    z = problem.trunk(problem.x)
    losses = dict(zip(NAMES, (problem.heads(z) - problem.y).square().mean(0).unbind(), strict=True))

    def forward(rows):
        part = problem.trunk(problem.x[rows])
        values = (problem.heads(part) - problem.y[rows]).square().mean(0)
        return dict(zip(NAMES, values.unbind(), strict=True)), part

    balancer = Balancer("mgda", on="features", rows=0.5)
    record = balancer.backward(losses, features=z, forward=forward, labelled=40)
    assert abs(sum(record.weights.values()) - 1) < 1e-12
    assert problem.trunk.weight.grad is not None


def test_no_task_is_lost_and_each_keeps_its_share():
    labelled = torch.rand(200, 6, generator=generator(3)) < torch.tensor([1.0, 0.5, 0.1, 0.02, 0.005, 0.0])
    labelled[17, 4] = True
    for share in (0.01, 0.1, 0.25, 0.9, 1.0):
        rows = draw_rows(labelled, share, generator())
        there, all_rows = labelled[rows].sum(0), labelled.sum(0)
        assert bool((there >= (all_rows * share - 1e-6).ceil()).all())
        assert bool((there <= all_rows).all())
    assert rows.tolist() == list(range(200))


def test_how_many_rows():
    assert [len(draw_rows(N, 0.25, generator())) for N in (0, 1, 2, 3, 30, 32, 33)] == [0, 1, 2, 2, 8, 8, 9]
    assert len(draw_rows(30, 0.1, generator())) == 3
    apart = torch.eye(4, dtype=torch.bool).repeat(25, 1)  # one label per row: still a quarter of the rows
    assert len(draw_rows(apart, 0.24, generator())) == 24
    nothing = torch.zeros(5, 2, dtype=torch.bool)
    assert len(draw_rows(nothing, 0.5, generator())) == 2  # batch normalisation can be trained on these


def test_every_row_is_as_likely_as_any_other():
    counts = torch.zeros(20)
    rng = generator()
    for _ in range(2000):
        counts[draw_rows(20, 0.25, rng)] += 1
    assert float((counts / 2000 - 0.25).abs().max()) < 5 * (0.25 * 0.75 / 2000) ** 0.5


@pytest.mark.parametrize("rows", [0, -0.5, 1.5, float("nan"), float("inf")])
def test_a_share_that_is_none(rows):
    with pytest.raises(ConfigError, match=r"expected rows in \(0, 1\]"):
        Balancer("mgda", rows=rows)


def test_where_it_cannot_be():
    with pytest.raises(ConfigError, match="looks at none"):
        Balancer("dwa", rows=0.5)
    with pytest.raises(ConfigError, match="answers with an update"):
        Balancer("graddrop", rows=0.5)
    problem = Regression()
    with pytest.raises(UserError, match="no way to compute its losses"):
        Balancer("mgda", rows=0.5).backward(problem.losses(), shared=problem.trunk.parameters())
