"""Methods on gradients in the balancer: what lands in ``.grad``, at parameters and at features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from polytask.balancing import Balancer, Combiner, Need, Weigher
from polytask.batch import TaskLosses
from polytask.errors import ConfigError, TrainingError, UserError

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Watch(Weigher):
    """Fixed weights 1, 2, 3, ...; every step's Gramian is kept outside."""

    needs = Need.GRAMIAN

    def weigh(self, evidence, state, rng):
        SEEN.append(evidence)
        return torch.arange(1.0, len(evidence.losses) + 1).to(evidence.losses), state


@dataclass(frozen=True)
class Signs(Combiner):
    """The sum of the signs of the rows."""

    def combine(self, evidence, state, rng):
        SEEN.append(evidence)
        return evidence.jacobian.sign().sum(0), state


SEEN = []


class Net(nn.Module):
    """A trunk with three heads, and the same heads stacked into one."""

    def __init__(self, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh())
        self.heads = nn.ModuleList([nn.Linear(6, 1) for _ in NAMES])
        self.stacked = nn.Linear(6, 3)
        self.to(dtype)
        self.x = torch.randn(11, 5, dtype=dtype)
        self.y = torch.randn(11, 3, dtype=dtype)

    def losses(self, tasks=NAMES, z=None):
        z = self.trunk(self.x) if z is None else z
        return {
            task: (self.heads[t](z)[:, 0] - self.y[:, t]).square().mean()
            for t, task in enumerate(NAMES)
            if task in tasks
        }

    def stacked_losses(self, z=None):
        z = self.trunk(self.x) if z is None else z
        return TaskLosses(NAMES, (self.stacked(z) - self.y).square().mean(0), torch.full((3,), 11.0))


def reference(net, losses, at=None):
    """Rows of T ordinary calls, and the plain gradients of everything."""
    at = list(net.trunk.parameters()) if at is None else at
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, at, retain_graph=True)]) for loss in losses]
    everything = list(net.parameters())
    plain = torch.autograd.grad(sum(losses), everything, retain_graph=True, allow_unused=True)
    return torch.stack(rows), dict(zip(everything, plain, strict=True))


def flat(parameters):
    return torch.cat([p.grad.flatten() for p in parameters])


def check(net, rows, plain, weights):
    torch.testing.assert_close(flat(net.trunk.parameters()), weights @ rows, rtol=1e-11, atol=1e-13)
    for parameter in [*net.heads.parameters(), *net.stacked.parameters()]:
        if plain[parameter] is None:
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, plain[parameter], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("on", ["parameters", "features"])
def test_shared_get_the_weighted_sum_and_heads_their_own(on, every, stacked):
    net, balancer = Net(), Balancer(Watch(), on=on, every=every)
    for step in range(3):
        net.zero_grad()
        z = net.trunk(net.x)
        losses = net.stacked_losses(z) if stacked else net.losses(z=z)
        rows, plain = reference(net, losses.values.unbind() if stacked else list(losses.values()))
        SEEN.clear()
        record = balancer.backward(losses, shared=net.trunk.parameters(), features=z)
        check(net, rows, plain, torch.arange(1.0, 4.0, dtype=torch.float64))
        assert record.weights == {"a": 1.0, "b": 2.0, "c": 3.0}
        assert bool(SEEN) is (step % every == 0)
        assert (record.gramian is not None) is (step % every == 0)


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("on", ["parameters", "features"])
def test_the_gramian_and_what_follows_from_it(on, stacked):
    net = Net()
    z = net.trunk(net.x)
    losses = net.stacked_losses(z) if stacked else net.losses(z=z)
    parts = losses.values.unbind() if stacked else list(losses.values())
    rows, _ = reference(net, parts, [z] if on == "features" else None)
    record = Balancer(Watch(), on=on).backward(losses, shared=net.trunk.parameters(), features=z)
    assert record.gramian.dtype == torch.float64
    torch.testing.assert_close(record.gramian, rows @ rows.T, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(record.norms, rows.norm(dim=1), rtol=1e-11, atol=0)
    cosines = torch.corrcoef(rows - 0) if False else (rows @ rows.T) / rows.norm(dim=1) / rows.norm(dim=1)[:, None]
    torch.testing.assert_close(record.cosines, cosines, rtol=1e-9, atol=1e-12)
    assert record.conflicts == sum(bool(cosines[i, j] < 0) for i in range(3) for j in range(i))
    assert math.isnan(record.residual)


def test_several_features_are_one_cut():
    net, twin = Net(), Net()

    def forward(model):
        middle = model.trunk[:2](model.x)
        end = model.trunk[2:](middle)
        losses = model.losses(z=end)
        losses["b"] = losses["b"] + middle.square().mean()  # a skip connection from inside the trunk
        return middle, end, losses

    middle, end, losses = forward(net)
    record = Balancer(Watch(), on="features").backward(losses, features=[end, middle])
    middle, end, losses = forward(twin)
    ends = [torch.autograd.grad(loss, end, retain_graph=True)[0] for loss in losses.values()]
    skip = torch.autograd.grad(middle.square().mean(), middle, retain_graph=True)[0]
    weights = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    at_end = torch.einsum("t,tnd->nd", weights, torch.stack(ends))
    torch.autograd.backward([end, middle], [at_end, 2 * skip])
    torch.testing.assert_close(flat(net.trunk.parameters()), flat(twin.trunk.parameters()), rtol=1e-11, atol=1e-13)
    gram = torch.stack([e.flatten() for e in ends]) @ torch.stack([e.flatten() for e in ends]).T
    gram[1, 1] += skip.square().sum()
    torch.testing.assert_close(record.gramian, gram, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("every", [1, 2])
def test_tied_weights_in_feature_mode(every):
    """One matrix encodes and decodes: it gets its plain gradient as a head and the weighted one as trunk."""
    torch.manual_seed(1)
    W, x = torch.randn(4, 4, dtype=torch.float64, requires_grad=True), torch.randn(9, 4, dtype=torch.float64)
    balancer = Balancer(Watch(), on="features", every=every)
    for _ in range(2):
        W.grad = None
        z = (x @ W).tanh()
        losses = {"a": (z @ W.T - x).square().mean(), "b": z.square().mean(), "c": z.mean()}
        as_head = torch.autograd.grad((z.detach() @ W.T - x).square().mean(), W)[0]
        Z = [torch.autograd.grad(loss, z, retain_graph=True)[0] for loss in losses.values()]
        as_trunk = torch.autograd.grad(z, W, Z[0] + 2 * Z[1] + 3 * Z[2], retain_graph=True)[0]
        balancer.backward(losses, features=z)
        torch.testing.assert_close(W.grad, as_head + as_trunk, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("on", ["parameters", "features"])
def test_a_combiner_answers_with_the_update(on):
    net = Net()
    z = net.trunk(net.x)
    losses = net.losses(z=z)
    rows, plain = reference(net, list(losses.values()), [z] if on == "features" else None)
    update = rows.sign().sum(0)
    if on == "features":
        pulled = torch.autograd.grad(z, list(net.trunk.parameters()), update.view(z.shape), retain_graph=True)
        update = torch.cat([g.flatten() for g in pulled])
    record = Balancer(Signs(), on=on).backward(losses, shared=net.trunk.parameters(), features=z)
    torch.testing.assert_close(flat(net.trunk.parameters()), update, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(net.heads[0].weight.grad, plain[net.heads[0].weight], rtol=1e-11, atol=1e-13)
    assert record.weight_values.isnan().all()
    with pytest.raises(ConfigError, match="every=2 uses weights again"):
        Balancer(Signs(), every=2)


def test_subsets_scale_and_accumulation():
    net, balancer = Net(), Balancer(Watch())
    total = 0.0
    for tasks in (NAMES, ("a", "c"), ("b",)):
        losses = net.losses(tasks)
        rows, _ = reference(net, list(losses.values()))
        total = total + torch.arange(1.0, len(tasks) + 1, dtype=torch.float64) @ rows / 3
        balancer.backward({**losses, "d": None}, shared=net.trunk.parameters(), scale=1 / 3)
    torch.testing.assert_close(flat(net.trunk.parameters()), total, rtol=1e-11, atol=1e-13)


def test_frozen_unused_and_unlisted_parameters():
    net = Net()
    net.trunk[0].weight.requires_grad_(False)
    unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    shared = [net.trunk[0].weight, net.trunk[2].weight, unused, net.trunk[2].weight]
    losses = net.losses()
    rows = torch.stack(
        [torch.autograd.grad(loss, net.trunk[2].weight, retain_graph=True)[0].flatten() for loss in losses.values()]
    )
    plain = torch.autograd.grad(sum(losses.values()), [net.trunk[0].bias, net.trunk[2].bias], retain_graph=True)
    Balancer(Watch()).backward(losses, shared=shared)
    weights = torch.arange(1.0, 4.0, dtype=torch.float64)
    torch.testing.assert_close(net.trunk[2].weight.grad.flatten(), weights @ rows, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(net.trunk[0].bias.grad, plain[0], rtol=1e-11, atol=1e-13)  # not listed: plain
    torch.testing.assert_close(net.trunk[2].bias.grad, plain[1], rtol=1e-11, atol=1e-13)
    assert net.trunk[0].weight.grad is None
    assert unused.grad is None or not unused.grad.any()


def test_a_task_that_does_not_reach_the_trunk_has_a_zero_row():
    net = Net()
    losses = {**net.losses(("a", "b")), "c": net.stacked.weight.square().sum()}
    record = Balancer(Watch()).backward(losses, shared=net.trunk.parameters())
    assert record.gramian[2].tolist() == [0.0, 0.0, 0.0]
    assert record.cosines[2].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(net.stacked.weight.grad, 2 * net.stacked.weight.detach())


@pytest.mark.parametrize("normalise", ["loss", "gradient"])
def test_normalised_gradients(normalise):
    net = Net()
    losses = net.losses()
    rows, _ = reference(net, list(losses.values()))
    values = torch.stack(list(losses.values())).detach()
    divisor = values if normalise == "loss" else rows.norm(dim=1)
    SEEN.clear()
    record = Balancer(Watch(), normalise=normalise).backward(losses, shared=net.trunk.parameters())
    unit = rows / divisor[:, None]
    torch.testing.assert_close(SEEN[0].gramian, unit @ unit.T, rtol=1e-11, atol=1e-13)
    weights = torch.arange(1.0, 4.0, dtype=torch.float64)
    torch.testing.assert_close(flat(net.trunk.parameters()), weights @ unit, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(record.weight_values, weights / divisor, rtol=1e-11, atol=0)


@pytest.mark.parametrize("on", ["parameters", "features"])
def test_a_gradient_scaler_leaves_the_evidence_alone(on):
    net, plain = Net(torch.float32), Net(torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    z, w = net.trunk(net.x), plain.trunk(plain.x)
    scaled = Balancer(Watch(), on=on).backward(
        net.losses(z=z),
        shared=net.trunk.parameters(),
        features=z,
        backward=lambda total: scaler.scale(total).backward(),
    )
    ordinary = Balancer(Watch(), on=on).backward(plain.losses(z=w), shared=plain.trunk.parameters(), features=w)
    torch.testing.assert_close(scaled.gramian, ordinary.gramian, rtol=1e-5, atol=0)
    for one, two in zip(net.parameters(), plain.parameters(), strict=True):
        if two.grad is not None:
            torch.testing.assert_close(one.grad, two.grad * 2.0**10, rtol=1e-5, atol=1e-6)


def test_a_scaler_gets_gradients_that_are_not_finite_and_skips_the_step():
    net = Net(torch.float32)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    losses = net.losses()
    losses["b"] = losses["b"] + (net.trunk[0].weight.sum() * 0).sqrt()  # the derivative at 0 is infinite
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    before = net.trunk[0].weight.detach().clone()
    Balancer(Watch()).backward(
        losses, shared=net.trunk.parameters(), backward=lambda total: scaler.scale(total).backward()
    )
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(net.trunk[0].weight, before)
    assert scaler.get_scale() == 2.0**9


def test_a_gradient_that_is_not_finite_names_the_task_and_changes_nothing():
    net = Net()
    losses = net.losses()
    losses["b"] = losses["b"] + (net.trunk[0].weight.sum() * 0).sqrt()
    with pytest.raises(TrainingError, match=r"task 'b'.*gradients") as caught:
        Balancer(Watch()).backward(losses, shared=net.trunk.parameters())
    assert "'a'" not in str(caught.value)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_bf16_autocast_gives_nearly_the_same_direction():
    net = Net(torch.float32)
    exact = Balancer(Watch()).backward(net.losses(), shared=net.trunk.parameters())
    direction = flat(net.trunk.parameters())
    net.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = net.losses()
    half = Balancer(Watch()).backward(losses, shared=net.trunk.parameters())
    assert torch.cosine_similarity(flat(net.trunk.parameters()), direction, 0) > 0.999
    torch.testing.assert_close(half.gramian, exact.gramian, rtol=0.1, atol=0.02)


def test_hooks_of_parameters_run():
    net, calls = Net(), []
    net.trunk[0].weight.register_hook(lambda g: calls.append("shared") or g)
    net.heads[0].weight.register_hook(lambda g: calls.append("head") or g * 0)
    Balancer(Watch()).backward(net.losses(), shared=net.trunk.parameters())
    assert not net.heads[0].weight.grad.any()
    assert {"shared", "head"} <= set(calls)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda net, z, losses: Balancer(Watch()).backward(losses), "none were given"),
        (lambda net, z, losses: Balancer(Watch()).backward(losses, shared=[]), "at least one parameter"),
        (lambda net, z, losses: Balancer(Watch()).backward(losses, shared=z), "an iterable of parameters"),
        (lambda net, z, losses: Balancer(Watch()).backward(losses, shared=[z]), "computed from others"),
        (lambda net, z, losses: Balancer(Watch()).backward(losses, Net().trunk.parameters()), "no loss depends on any"),
        (lambda net, z, losses: Balancer(Watch(), on="features").backward(losses), "none were given"),
        (lambda net, z, losses: Balancer(Watch(), on="features").backward(losses, features=[]), "at least one tensor"),
        (lambda net, z, losses: Balancer(Watch(), on="features").backward(losses, features=z.detach()), "detach"),
        (lambda net, z, losses: Balancer(Watch(), on="features").backward(losses, features=z * 1), "very tensor"),
        (lambda net, z, losses: Balancer(Watch(), on="feature"), "Did you mean 'features'"),
        (lambda net, z, losses: Balancer("equal", normalise="loss"), "looks at none"),
    ],
)
def test_mistakes_are_named(call, says):
    net = Net()
    z = net.trunk(net.x)
    with pytest.raises(UserError, match=says):
        call(net, z, net.losses(z=z))


def test_one_task_gets_its_plain_gradient():
    net = Net()
    losses = net.losses(("b",))
    rows, plain = reference(net, list(losses.values()))
    Balancer(Watch()).backward(losses, shared=net.trunk.parameters())
    check(net, rows, plain, torch.ones(1, dtype=torch.float64))
