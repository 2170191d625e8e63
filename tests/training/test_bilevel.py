"""Bilevel balancing: worked example, autograd through the virtual step, closed forms, and no trace in the model."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import nn

from polytask.batch import TaskLosses
from polytask.catalogue import changed_fields
from polytask.errors import ConfigError, RunError, UserError
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import Hard
from polytask.tasks import Binary, Regression
from polytask.training import bilevel
from polytask.training.bilevel import BILEVEL, MOML, AutoLambda, BilevelBalancer, Problem, primary_tasks
from polytask.training.bilevel.moml import common_descent

F64 = torch.float64


class Quadratics(nn.Module):
    """Losses ``0.5 (x - c_i)' A_i (x - c_i)``."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta, dtype=F64))


def quadratics(model, batch):
    A, c = (torch.tensor(values, dtype=F64) for values in batch)
    gap = model.theta - c
    return dict(zip("abc", (0.5 * (gap * A * gap)).sum(1).unbind(), strict=False))


def near(found, expected, tol=1e-10):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=tol, atol=tol)


def two_tasks(model, batch):
    x, y = batch
    errors = (model(x) - y).square().mean(0)
    return {"a": errors[0], "b": errors[1]}


def network(dtype=F64, dropout=0.0, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(dropout), nn.Linear(5, 2)
        return nn.Sequential(*layers).to(dtype)


def rows(seed, n=12, dtype=F64):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=rng, dtype=dtype), torch.randn(n, 2, generator=rng, dtype=dtype)


def sgd(model, lr=0.1, **options):
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


WORKED = ([[1, 2], [3, 0.5]], [[1.0, 0.0], [-1.0, 2.0]])


def test_auto_lambda_takes_the_slope_of_the_worked_example():
    """Quadratics: the central difference is exact. Computed by hand in float64."""
    model = Quadratics([0.5, -1.0])
    problem = Problem(model, quadratics, WORKED, WORKED, sgd(model), frozenset("a"))
    slope = AutoLambda().slope(problem.train(), problem, torch.tensor([0.1, 0.1], dtype=F64))
    near(slope, [-0.413, -0.0465])


@pytest.mark.parametrize("radius", [1e-3, 0.01, 1.0, 10.0])
def test_on_quadratics_the_difference_is_exact_at_any_radius(radius):
    model = Quadratics([0.5, -1.0])
    problem = Problem(model, quadratics, WORKED, WORKED, sgd(model), frozenset("a"))
    near(AutoLambda(radius=radius).slope(problem.train(), problem, torch.full((2,), 0.1, dtype=F64)), [-0.413, -0.0465])


def autograd_slope(model, weights, primary, *, lrs, extra):
    """d validation loss / d lambda, differentiated through the virtual step from ``rows(1)`` to ``rows(2)``."""
    names = dict(model.named_parameters())
    free = weights.clone().requires_grad_()
    inner = free @ torch.stack(list(two_tasks(model, rows(1)).values()))
    slopes = torch.autograd.grad(inner, list(names.values()), create_graph=True)
    virtual = {
        name: p - lr * (g + more) for (name, p), g, lr, more in zip(names.items(), slopes, lrs, extra, strict=True)
    }
    outer = two_tasks(lambda x: torch.func.functional_call(model, virtual, (x,)), rows(2))
    return torch.autograd.grad(sum(outer[name] for name in primary), free)[0]


@pytest.mark.parametrize("primary", [("a",), ("a", "b")])
def test_auto_lambda_is_the_derivative_through_the_virtual_step(primary):
    model, weights = network(), torch.tensor([0.3, -0.2], dtype=F64)
    problem = Problem(model, two_tasks, rows(1), rows(2), sgd(model), frozenset(primary))
    found = AutoLambda(radius=1e-4).slope(problem.train(), problem, weights)
    count = len(list(model.parameters()))
    near(found, autograd_slope(model, weights, primary, lrs=[0.1] * count, extra=[0.0] * count), 1e-7)


def test_momentum_decay_and_a_rate_per_group_are_those_of_the_optimizer():
    model, weights = network(), torch.tensor([0.3, 0.2], dtype=F64)
    first, last = list(model[0].parameters()), [*model[1].parameters(), *model[4].parameters()]
    groups = [{"params": first, "lr": 0.3}, {"params": last, "lr": 0.05, "weight_decay": 0.2}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    sum(two_tasks(model, rows(5)).values()).backward()
    optimizer.step()
    optimizer.zero_grad()
    problem = Problem(model, two_tasks, rows(1), rows(2), optimizer, frozenset("b"))
    found = AutoLambda(radius=1e-4).slope(problem.train(), problem, weights)
    lrs = [0.3] * len(first) + [0.05] * len(last)
    extra = [
        0.9 * optimizer.state[p]["momentum_buffer"] + (0.2 * p.detach() if lr == 0.05 else 0.0)
        for p, lr in zip(model.parameters(), lrs, strict=True)
    ]
    near(found, autograd_slope(model, weights, ("b",), lrs=lrs, extra=extra), 1e-7)


def test_lambda_moves_by_adam():
    """The first step of Adam is ``lr`` against the sign of the slope, whatever its size."""
    model = Quadratics([0.5, -1.0])
    weights = BilevelBalancer(AutoLambda(lr=0.25), primary=["a"]).weights(model, quadratics, WORKED, WORKED, sgd(model))
    near(torch.stack(list(weights.values())), [0.35, 0.35], 1e-6)


def test_a_helpful_task_gains_and_a_harmful_one_loses():
    """Task b pulls where a pulls, c pulls the other way."""
    model = Quadratics([0.0, 0.0])
    batch = ([[1, 1]] * 3, [[1.0, 0.0], [2.0, 0.5], [-3.0, 0.0]])
    balancer = BilevelBalancer(AutoLambda(lr=0.01), primary=["a"])
    for _ in range(30):
        weights = balancer.step(model, quadratics, batch, batch, sgd(model, 1e-3))
    assert weights["b"] > 0.3
    assert weights["c"] < -0.1


def test_moml_has_the_derivatives_of_autograd():
    model, logits = network(), torch.tensor([0.4, -0.3], dtype=F64)
    problem = Problem(model, two_tasks, rows(1), rows(2), sgd(model))
    found = MOML(inner_lr=0.2).slopes(problem.train(), problem, logits)
    count = len(list(model.parameters()))
    for i, task in enumerate("ab"):
        expected = autograd_slope(model, logits.softmax(0), (task,), lrs=[0.2] * count, extra=[0.0] * count)
        near(found[i], expected)


def test_moml_takes_the_shortest_combination_of_unit_rows():
    """Two unit rows: the bisector of both halves, ``mu = (1/2, 1/2)``; here differentiated by autograd."""
    rng = torch.Generator().manual_seed(3)
    M, logits = torch.randn(2, 4, generator=rng, dtype=F64), torch.randn(4, generator=rng, dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda a: a.softmax(0), logits)
    R = M @ jacobian
    near(common_descent(M, logits), (R / R.norm(dim=1, keepdim=True)).mean(0))


def test_moml_descends_every_validation_loss():
    """The common direction has the same positive product with every active row: all losses fall."""
    rng = torch.Generator().manual_seed(4)
    M, logits = torch.randn(3, 6, generator=rng, dtype=F64), torch.zeros(6, dtype=F64)
    R = M @ torch.autograd.functional.jacobian(lambda a: a.softmax(0), logits)
    slope = common_descent(M, logits)
    gains = (R / R.norm(dim=1, keepdim=True)) @ slope
    assert (gains >= slope @ slope - 1e-12).all()
    assert slope.norm() > 0.1


def test_moml_with_rows_that_are_zero_or_not_finite():
    zero = torch.zeros(2, 3)
    assert not common_descent(zero, torch.zeros(3)).any()
    one = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    near(common_descent(one, torch.zeros(3)), torch.tensor([2.0, -1.0, -1.0], dtype=F64) / 6**0.5)
    assert common_descent(torch.tensor([[torch.nan, 1.0], [0.0, 1.0]]), torch.zeros(2)).isnan().all()


@pytest.mark.parametrize("name", list(BILEVEL))
class TestEveryMethod:
    def build(self, name, **options):
        return BilevelBalancer(BILEVEL.build(name), **options)

    def test_weights_leave_no_trace_in_the_model(self, name):
        model = network(dropout=0.5)
        optimizer = sgd(model, momentum=0.9)
        sum(two_tasks(model, rows(5)).values()).backward()
        before = copy.deepcopy(model.state_dict())
        grads = [p.grad.clone() for p in model.parameters()]
        random = torch.get_rng_state()
        self.build(name).weights(model, two_tasks, rows(1), rows(2), optimizer)
        after = model.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
        assert torch.equal(random, torch.get_rng_state())
        assert not optimizer.state

    def test_running_statistics_see_each_training_batch_once(self, name):
        model, twin = network(), network()
        self.build(name).step(model, two_tasks, rows(1), rows(2), sgd(model))
        twin(rows(1)[0])
        assert model[1].num_batches_tracked == 1
        near(model[1].running_mean, twin[1].running_mean, 0)

    def test_a_step_is_one_of_the_optimizer_on_the_weighted_losses(self, name):
        model, twin = network(), network()
        weights = self.build(name).step(model, two_tasks, rows(1), rows(2), sgd(model))
        sum(weights[task] * loss for task, loss in two_tasks(twin, rows(1)).items()).backward()
        sgd(twin).step()
        for one, other in zip(model.parameters(), twin.parameters(), strict=True):
            near(one.detach(), other.detach(), 1e-7)

    def test_absent_tasks_keep_their_memory_and_it_survives_saving(self, name):
        def partly(model, batch):
            losses = two_tasks(model, batch[:2])
            return {task: losses[task] if task in batch[2] else None for task in "ab"}

        batches = [(*rows(seed), present) for seed, present in enumerate(["a", "ab", "b", "ab", "b", "ab"])]
        model = network()
        optimizer = sgd(model)
        balancer = self.build(name)
        for train, following in pairwise(batches[:4]):
            balancer.step(model, partly, train, following, optimizer)
        saved = balancer.state_dict()
        assert saved["tasks"] == ["a", "b"]
        assert saved["state"]["steps"].tolist() == [2, 2]
        other, twin = self.build(name), copy.deepcopy(model)
        other.load_state_dict(saved)
        for one, net in ((balancer, model), (other, twin)):
            for train, following in pairwise(batches[3:]):
                one.step(net, partly, train, following, sgd(net))
        for key, values in balancer.state_dict()["state"].items():
            assert torch.equal(values, other.state_dict()["state"][key])
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))

    def test_memory_goes_by_name_not_by_place(self, name):
        def turned(model, batch):
            return dict(reversed(two_tasks(model, batch).items()))

        found = [self.build(name).weights(m := network(), f, rows(1), rows(2), sgd(m)) for f in (two_tasks, turned)]
        assert list(found[0]) != list(found[1])
        for task in "ab":
            near(found[0][task], found[1][task], 1e-9)

    def test_validation_rows_without_a_primary_task_change_nothing(self, name):
        model = network()
        balancer = self.build(name, primary=["c"])
        before = balancer.method.init(("a", "b"), torch.zeros(2, dtype=F64))
        balancer.weights(model, two_tasks, rows(1), rows(2), sgd(model))
        assert all(torch.equal(before[key], value) for key, value in balancer.state_dict()["state"].items())

    def test_a_loss_that_is_not_finite_leaves_finite_weights(self, name):
        def broken(model, batch):
            losses = two_tasks(model, batch)
            return {"a": losses["a"], "b": losses["b"] * torch.nan}

        model = network()
        weights = self.build(name).weights(model, broken, rows(1), rows(2), sgd(model))
        assert torch.stack(list(weights.values())).isfinite().all()

    def test_one_task_and_losses_as_one_tensor(self, name):
        def one(model, batch):
            return TaskLosses(("a",), two_tasks(model, batch)["a"][None], torch.ones(1))

        model = network()
        weights = self.build(name).step(model, one, rows(1), rows(2), sgd(model))
        assert weights == {"a": pytest.approx(1.0 if name == "moml" else 0.1001, abs=1e-6)}

    def test_frozen_and_unreached_parameters(self, name):
        model = nn.ModuleDict({"net": network(), "unused": nn.Linear(2, 2, dtype=F64)})
        model["net"][0].requires_grad_(False)
        before = model["net"][0].weight.clone()
        weights = self.build(name).step(
            model, lambda m, batch: two_tasks(m["net"], batch), rows(1), rows(2), sgd(model)
        )
        assert weights.keys() == {"a", "b"}
        assert torch.equal(before, model["net"][0].weight)

    def test_a_state_of_something_else_is_refused(self, name):
        balancer = self.build(name)
        with pytest.raises(RunError, match="does not fit"):
            balancer.load_state_dict({"tasks": ["a"], "state": {"w": torch.ones(1)}})

    def test_wrong_numbers_are_refused_with_their_place(self, name):
        with pytest.raises(ConfigError, match=r"bilevel method\.lr|lr"):
            BILEVEL.build({"name": name, "lr": 0.0})
        assert BILEVEL.config(BILEVEL.build(name)) == {"name": name}
        assert changed_fields(BILEVEL.build({"name": name, "lr": 0.5})) == {"lr": 0.5}


def test_dropout_draws_the_same_masks_on_both_sides_of_the_difference():
    """Losses of the same rows at the same parameters are then equal, and the difference is free of their noise."""
    model = network(dropout=0.5)
    problem = Problem(model, two_tasks, rows(1), rows(2), sgd(model))
    near(problem.train().values(), problem.train(problem.parameters).values(), 0)


def test_a_parameter_that_the_optimizer_does_not_know_is_named():
    model = network()
    with pytest.raises(UserError, match=r"4\.weight"):
        BilevelBalancer(AutoLambda()).weights(model, two_tasks, rows(1), rows(2), sgd(model[:4]))


def test_losses_without_gradient_and_no_primary_task_are_refused():
    model = network()
    with pytest.raises(UserError, match="depends on parameters"):
        BilevelBalancer(MOML()).weights(
            model, lambda m, b: {k: v.detach() for k, v in two_tasks(m, b).items()}, rows(1), rows(2), sgd(model)
        )
    with pytest.raises(UserError, match="at least one primary"):
        BilevelBalancer(MOML(), primary=[])


def test_roles_give_the_primary_tasks():
    targets = [
        Binary("x").fit(pl.DataFrame({"x": [0, 1, 1, 0]})),
        Regression("y", role="auxiliary").fit(pl.DataFrame({"y": [0.0, 1.0, 2.0, 4.0]})),
    ]
    assert primary_tasks(targets) == {"x"}


def test_a_model_of_the_house_with_a_sparse_table(sparse):
    """The example of the docs: batches of a table, roles from the targets."""
    model = Model(sparse.schema.spec, sparse.targets, MLP(width=8), Hard())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    balancer = BilevelBalancer(AutoLambda(lr=0.01), primary=primary_tasks(sparse.targets))
    batches = [sparse.table.batch(torch.arange(i, i + 64)) for i in range(0, 512, 64)]

    def losses(model, batch):
        return model.losses(model(batch.inputs), batch.targets)

    before = losses(model, batches[0]).values.detach()
    for train, following in zip(batches, batches[1:] + batches[:1], strict=True):
        weights = balancer.step(model, losses, train, following, optimizer)
    assert weights.keys() == {"yes", "up", "down"}
    assert (losses(model, batches[0]).values < before).all()


def test_the_catalogue_lists_the_folder():
    folder = {path.stem for path in Path(bilevel.__file__).parent.glob("*.py")}
    assert folder - {"__init__", "contract", "problem", "balancer", "steps"} == set(BILEVEL)
