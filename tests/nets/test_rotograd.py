"""RotoGrad: worked examples, gradients against their formulas and autograd, rotations that stay rotations, a toy."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from polytask.errors import ConfigError, UserError
from polytask.nets.rotograd import RotoGrad, common_direction, lengths, rotation_losses, scaled_sum

F64 = torch.float64
G = torch.tensor([[1.0, 2.0, -1.0], [-0.5, 0.5, 3.0]], dtype=F64)


def near(found, expected, tol=1e-12):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=tol, atol=tol)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def turned(*, tasks=2, width=4, seed=1, **options):
    """Rotations that are no longer the identity."""
    rotograd = RotoGrad([f"t{i}" for i in range(tasks)], width, **options).double()
    with torch.no_grad():
        rotograd.generators.copy_(random(*rotograd.generators.shape, seed=seed))
    return rotograd


def test_scaling_of_the_worked_example():
    near(lengths(G), [2.449489742783178, 3.082207001484488])
    near(scaled_sum(G, torch.tensor([2.0, 4.0])), [0.6627558069522357, 2.6365048703470366, 1.5222329537853732])


def test_direction_and_rotation_losses_of_the_worked_example():
    v = common_direction(G)
    near(v, [0.19930454312361212, 0.7928521985256094, 0.45776731067369647])
    near(rotation_losses(torch.eye(3, dtype=F64).expand(2, 3, 3), v, G), [4.223404561335764, 7.037736300893856])


def test_at_the_first_step_the_common_length_is_the_mean_length():
    first = scaled_sum(G, lengths(G))
    near(first, lengths(G).mean() * (G / lengths(G)[:, None]).sum(0))


def test_a_task_without_gradient_has_no_say():
    silent = torch.cat([G, torch.zeros(1, 3)])
    start = torch.tensor([2.0, 4.0, torch.nan])
    near(scaled_sum(silent, start), scaled_sum(G, start[:2]))
    assert not scaled_sum(torch.zeros(2, 3), torch.full((2,), torch.nan)).any()
    assert not common_direction(torch.zeros(2, 3)).any()


def test_it_starts_as_the_identity_and_turns_only_the_first_features():
    z = random(6, 4)
    fresh = RotoGrad(["a", "b"], 4).double()(z)
    assert torch.equal(fresh["a"], z)
    part = turned(size=2)(z)
    near(part["t0"][:, 2:], z[:, 2:])
    assert (part["t0"][:, :2] - z[:, :2]).abs().max() > 0.1
    near(part["t1"].norm(dim=1), z.norm(dim=1))


@pytest.mark.parametrize("shape", [(6, 4), (3, 5, 4)])
@pytest.mark.parametrize("size", [4, 3])
@pytest.mark.parametrize("scale", [True, False])
def test_every_gradient_is_that_of_its_formula(shape, size, scale):
    rotograd = turned(size=size, scale=scale)
    trunk = nn.Linear(4, 4).double()
    heads = nn.ModuleList([nn.Linear(4, 1), nn.Linear(4, 1)]).double()
    z = trunk(random(*shape))

    def losses(features):
        return [(head(features[f"t{t}"]) - t).square().mean() for t, head in enumerate(heads)]

    rotated = rotograd(z)
    rotograd.backward(dict(zip(("t0", "t1"), losses(rotated), strict=True)), rotated)

    # the same by autograd alone
    R = torch.stack([torch.block_diag(r, torch.eye(4 - size, dtype=F64)) for r in rotograd.rotations()])
    again = trunk(random(*shape))
    plain = losses({f"t{t}": again @ R[t].detach().T for t in range(2)})
    rows = torch.stack([torch.autograd.grad(loss, again, retain_graph=True)[0] for loss in plain])
    for t, head in enumerate(heads):
        near(head.weight.grad, torch.autograd.grad(plain[t], head.weight, retain_graph=True)[0])
    n = rows.flatten(1).norm(dim=1).view(2, *[1] * len(shape))
    update = n.mean() * (rows / n).sum(0) if scale else rows.sum(0)
    near(trunk.weight.grad, torch.autograd.grad(again, trunk.weight, update, retain_graph=True)[0])
    v = (rows / n).mean(0) * rows.mean(0).norm()
    H = torch.stack([g @ r.detach().T for g, r in zip(rows, R, strict=True)])
    gaps = [
        ((v @ R[t].T - H[t])[..., :size] if size == 4 else v[..., :size] @ R[t][:size, :size].T - H[t][..., :size])
        for t in (0, 1)
    ]
    total = sum(gap.square().sum(-1).mean() for gap in gaps)
    near(rotograd.generators.grad, torch.autograd.grad(total, rotograd.generators)[0])


def test_rotations_stay_rotations():
    rotograd = RotoGrad(["a", "b", "c"], 6)
    optimizer = torch.optim.Adam(rotograd.parameters(), lr=0.3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        z = torch.randn(16, 6, generator=rng, requires_grad=True)
        rotated = rotograd(z)
        aims = {"a": 1.0, "b": -2.0, "c": 5.0}
        rotograd.backward(
            {t: (rotated[t] * aim + rotated[t].sin()).sum(1).square().mean() for t, aim in aims.items()}, rotated
        )
        optimizer.step()
        optimizer.zero_grad()
    R = rotograd.rotations().detach()
    assert (R - torch.eye(6)).abs().amax((1, 2)).min() > 0.1, "nothing turned"
    near(R @ R.mT, torch.eye(6).expand(3, 6, 6), 1e-5)
    near(torch.linalg.det(R), torch.ones(3), 1e-5)


def test_lengths_are_remembered_at_the_first_step_and_after_the_burn_in():
    rotograd = RotoGrad(["a", "b"], 2, burn_in=2).double()
    z = torch.ones(1, 2, dtype=F64, requires_grad=True)
    known = []
    for factor in (3.0, 5.0, 7.0, 9.0):
        rotated = rotograd(z)
        present = {"a": factor * rotated["a"].sum()}
        if factor > 3:
            present["b"] = rotated["b"].sum()
        rotograd.backward(present | ({} if factor > 3 else {"b": None}), rotated)
        known.append((rotograd.start / math.sqrt(2)).tolist())
    assert known[0] == pytest.approx([3.0, math.nan], nan_ok=True)
    assert known[1] == pytest.approx([3.0, 1.0])
    assert known[2] == pytest.approx([7.0, 1.0])
    assert known[3] == pytest.approx([7.0, 1.0])
    assert rotograd.steps.tolist() == [4, 3]
    twin = RotoGrad(["a", "b"], 2, burn_in=2).double()
    twin.load_state_dict(rotograd.state_dict())
    assert twin.steps.tolist() == [4, 3]
    near(twin.start, rotograd.start)


def test_an_absent_task_gives_what_a_module_without_it_gives():
    z = [random(6, 4).requires_grad_() for _ in range(2)]
    both, alone = RotoGrad(["a", "b"], 4).double(), RotoGrad(["a"], 4).double()
    for rotograd, features in zip((both, alone), z, strict=True):
        rotated = rotograd(features)
        rotograd.backward({"a": rotated["a"].square().sum()}, rotated)
    near(z[0].grad, z[1].grad)
    near(z[1].grad, 2 * z[1].detach())
    assert not both.generators.grad[1].any()


def test_a_frozen_trunk_and_evaluation():
    rotograd = turned()
    rotated = rotograd(random(6, 4))
    rotograd.backward({"t0": rotated["t0"].square().sum(), "t1": rotated["t1"].sum()}, rotated)
    assert rotograd.generators.grad.isfinite().all()
    with torch.no_grad():
        assert not rotograd(random(6, 4))["t0"].requires_grad


def test_half_precision_gives_the_same_update_up_to_its_rounding():
    updates = []
    for dtype in (torch.float32, torch.bfloat16):
        rotograd = turned().float()
        z = random(64, 4).to(dtype).requires_grad_()
        rotated = rotograd(z)
        rotograd.backward({"t0": rotated["t0"].float().square().mean(), "t1": rotated["t1"].float().mean()}, rotated)
        assert z.grad.dtype == dtype
        updates.append((z.grad.float(), rotograd.generators.grad))
    for exact, rounded in zip(*updates, strict=True):
        assert torch.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0) > 0.999


def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="each once"):
        RotoGrad(["a", "a"], 4)
    with pytest.raises(ConfigError, match="1 to 4 features"):
        RotoGrad(["a"], 4, size=5)
    rotograd = RotoGrad(["price", "b"], 4)
    with pytest.raises(UserError, match="width 4"):
        rotograd(torch.zeros(2, 3))
    rotated = rotograd(torch.zeros(2, 4))
    with pytest.raises(UserError, match="'price'"):
        rotograd.backward({"prise": rotated["b"].sum()}, rotated)
    with pytest.raises(UserError, match="at least one"):
        rotograd.backward({"b": None}, rotated)
    with torch.no_grad():
        constant = rotograd(torch.zeros(2, 4))
    with pytest.raises(UserError, match="gradients enabled"):
        rotograd.backward({"b": nn.Linear(4, 1)(constant["b"]).sum()}, constant)


def toy(r, side):
    """A landscape with its minimum, -6, at ``r = -1.5 side`` (Javaloy, Valera 2022): two tasks, the same but moved."""
    moved = r + 1.5 * side
    return (moved.abs() - 3 * torch.sinc(3 * moved / math.pi)).sum(-1)


def toy_end(rate):
    """Final losses of both tasks, from one start, when rotations learn at ``rate``."""
    z = torch.tensor([[0.3, -0.2]], dtype=F64, requires_grad=True)
    rotograd = RotoGrad(["a", "b"], 2).double()
    optimizer = torch.optim.Adam([z], lr=0.02)
    rotations = torch.optim.RAdam(rotograd.parameters(), lr=rate)
    for _ in range(600):
        rotated = rotograd(z * 1)
        losses = {"a": toy(rotated["a"], -1).sum(), "b": toy(rotated["b"], 1).sum()}
        rotograd.backward(losses, rotated)
        for one in (optimizer, rotations):
            one.step()
            one.zero_grad()
    return [float(loss.detach()) for loss in losses.values()]


def test_rotations_resolve_the_conflict_of_the_toy():
    """No point serves both tasks as they are: the best of a fine grid is far from what rotations reach."""
    line = torch.linspace(-3, 3, 601, dtype=F64)
    grid = torch.cartesian_prod(line, line)
    best = float((toy(grid, -1) + toy(grid, 1)).min())
    assert sum(toy_end(0.0)) >= best - 0.01
    solved = toy_end(0.1)
    assert max(solved) < -5
    assert sum(solved) < best - 5
