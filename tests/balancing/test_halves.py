"""Methods that multiply gradients of independent samples see two disjoint halves of the batch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from polytask.balancing import Balancer
from polytask.balancing.contract import Evidence
from polytask.balancing.engine.engine import Ranks
from polytask.balancing.halves import draw_halves, look_twice, products
from polytask.balancing.methods import METHODS
from polytask.balancing.methods.modo import MoDo

NAMES = ("a", "b", "c")


class Regression:
    """Three linear tasks with missing labels; ``asked`` remembers the rows that were asked for."""

    def __init__(self, rows=40, missing=0.3, seed=1):
        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.trunk, self.heads = nn.Linear(3, 4).double(), nn.Linear(4, 3).double()
        self.x = torch.randn(rows, 3, dtype=torch.float64, generator=generator)
        self.y = torch.randn(rows, 3, dtype=torch.float64, generator=generator)
        self.labelled = torch.rand(rows, 3, generator=generator) >= missing
        self.asked = []

    def losses(self, rows=None):
        rows = torch.arange(len(self.x)) if rows is None else rows
        errors = (self.heads(self.trunk(self.x[rows])) - self.y[rows]).square()
        here = self.labelled[rows]
        return {
            name: (errors[:, t] * here[:, t]).sum() / here[:, t].sum()
            for t, name in enumerate(NAMES)
            if here[:, t].any()
        }

    def forward(self, rows):
        self.asked.append(rows)
        return self.losses(rows)

    def jacobian(self, rows):
        at = list(self.trunk.parameters())
        grads = [torch.autograd.grad(loss, at, retain_graph=True) for loss in self.losses(rows).values()]
        return torch.stack([torch.cat([g.flatten() for g in row]) for row in grads])

    def step(self, balancer):
        return balancer.backward(
            self.losses(), shared=self.trunk.parameters(), forward=self.forward, labelled=self.labelled
        )


def test_halves_are_disjoint_and_have_half_of_every_task():
    labelled = torch.rand(31, 3, generator=torch.Generator().manual_seed(0)) < 0.6
    first, second = draw_halves(labelled, 1.0, torch.Generator().manual_seed(1))
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(31))
    assert bool((labelled[first].sum(0) >= (labelled.sum(0) / 2).ceil()).all())
    assert bool((labelled[second].sum(0) > 0).all())
    first, second = draw_halves(100, 0.2, torch.Generator().manual_seed(1))
    assert (len(first), len(second), set(first.tolist()) & set(second.tolist())) == (10, 10, set())
    again, _ = draw_halves(100, 0.2, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)


def test_the_products_of_two_halves_and_the_gramian_of_their_mean():
    J1, J2 = torch.randn(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = torch.cat([J1, J2])
    gramian, cross = products(both @ both.T, 3)
    torch.testing.assert_close(cross, J1 @ J2.T)
    mean = (J1 + J2) / 2
    torch.testing.assert_close(gramian, mean @ mean.T)
    assert products(gramian, 3) == (gramian, None)


@pytest.mark.parametrize("method", ["modo", "sdmgrad", {"name": "cr_mogm", "method": "modo"}])
@pytest.mark.parametrize("engine", ["sequential", "keep", "forget"])
def test_weights_come_from_two_halves_and_the_update_from_all_rows(method, engine):
    problem = Regression()
    balancer = Balancer(method, engine=engine)
    record = problem.step(balancer)
    one, two = problem.asked
    J1, J2 = problem.jacobian(one), problem.jacobian(two)
    cls = METHODS.build(method)
    losses = torch.stack(list(problem.losses().values())).detach()
    evidence = Evidence(losses, (J1 + J2) @ (J1 + J2).T / 4, cross=J1 @ J2.T)
    expected, _ = cls.weigh(evidence, cls.init(NAMES, losses), torch.Generator())
    torch.testing.assert_close(record.weight_values, expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(record.gramian, evidence.gramian, rtol=1e-8, atol=1e-10)
    at = list(problem.trunk.parameters())
    total = sum(w * loss for w, loss in zip(expected, problem.losses().values(), strict=True))
    for parameter, right in zip(at, torch.autograd.grad(total, at), strict=True):
        torch.testing.assert_close(parameter.grad, right, rtol=1e-8, atol=1e-10)


def test_the_weights_differ_from_those_of_one_batch_by_the_noise_alone():
    """On a batch made of two equal halves there is no noise between them, and both ways agree."""
    problem = Regression(rows=20, missing=0.0)
    problem.x, problem.y = problem.x.repeat(2, 1), problem.y.repeat(2, 1)
    problem.labelled = problem.labelled.repeat(2, 1)
    J = problem.jacobian(torch.arange(20))
    evidence = Evidence(torch.ones(3), J @ J.T)
    alone, _ = MoDo().weigh(evidence, MoDo().init(NAMES, torch.ones(3, dtype=torch.float64)), torch.Generator())
    found = look_twice(
        lambda rows: problem.losses(torch.arange(20)), 40, 1.0, torch.Generator(), names=NAMES, ranks=None
    )
    gradients = [
        torch.cat([g.flatten() for g in torch.autograd.grad(v, list(problem.trunk.parameters()), retain_graph=True)])
        for v in found.values()
    ]
    _, cross = products(torch.stack(gradients) @ torch.stack(gradients).T, 3)
    paired, _ = MoDo().weigh(
        Evidence(torch.ones(3), J @ J.T, cross=cross),
        MoDo().init(NAMES, torch.ones(3, dtype=torch.float64)),
        torch.Generator(),
    )
    torch.testing.assert_close(paired, alone, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rows", [None, 0.5])
def test_a_task_with_one_label_has_no_second_half_and_one_batch_must_do(rows):
    problem = Regression()
    problem.labelled[:, 1] = False
    problem.labelled[3, 1] = True
    record = problem.step(Balancer("modo", rows=rows))
    assert record.names == NAMES
    assert bool(record.weight_values.isfinite().all())
    assert len(problem.asked[-1]) >= (20 if rows else 1)
    tiny = Regression(rows=3, missing=0.0)
    assert bool(tiny.step(Balancer("modo")).weight_values.isfinite().all())
    assert tiny.asked == []  # halves of two rows and one: nobody is asked


def test_a_half_without_any_task_is_no_half():
    problem = Regression()
    problem.labelled[:] = False
    problem.labelled[7] = True
    assert look_twice(problem.forward, 40, 1.0, torch.Generator(), names=NAMES, ranks=None) is None


def test_all_processes_go_without_halves_when_one_must():
    lonely = Ranks(2, lambda tensor: tensor * 0.5 if tensor.ndim == 0 else tensor)  # the other process said no
    problem = Regression()
    assert look_twice(problem.forward, problem.labelled, 1.0, torch.Generator(), names=NAMES, ranks=lonely) is None
    assert problem.asked == []


def test_other_methods_ask_for_nothing():
    problem = Regression()
    problem.step(Balancer("mgda"))
    problem.step(Balancer("equal"))
    assert problem.asked == []
    z = problem.trunk(problem.x)
    losses = dict(zip(NAMES, (problem.heads(z) - problem.y).square().mean(0).unbind(), strict=True))
    Balancer("modo", on="features").backward(losses, features=z, forward=problem.forward, labelled=40)
    assert problem.asked == []


def test_halves_are_drawn_again_alike_from_a_state():
    problem, other = Regression(), Regression()
    balancer = Balancer("modo")
    problem.step(balancer)
    again = Balancer("modo", seed=9)
    again.load_state_dict(balancer.state_dict())
    problem.step(balancer)
    other.step(again)
    assert torch.equal(problem.asked[-1], other.asked[-1])
    assert not torch.equal(problem.asked[0], problem.asked[2])


def test_a_scaled_overflow_reaches_the_scaler_and_not_the_memory():
    problem = Regression(missing=0.0)
    balancer = Balancer("modo", check=False)
    problem.step(balancer)
    before = balancer.state_dict()["tensors"]["method.w"]
    for parameter in problem.trunk.parameters():
        parameter.grad = None
    with torch.no_grad():
        problem.heads.weight[0, 0] = math.nan
    problem.step(balancer)
    assert any(bool(parameter.grad.isnan().any()) for parameter in problem.trunk.parameters())
    assert torch.equal(balancer.state_dict()["tensors"]["method.w"], before)
