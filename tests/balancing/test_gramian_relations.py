"""Methods that see the Gramian: relations among them, preferences, and the memory of pairs."""

from __future__ import annotations

import math

import pytest
import torch
from gramian_cases import everyone, near, random, tensor, unit, weigh
from torch import Generator

from polytask.balancing.contract import Evidence
from polytask.balancing.memory import Memory
from polytask.balancing.methods import METHODS
from polytask.balancing.methods.aligned_mtl import AlignedMTL
from polytask.balancing.methods.cagrad import CAGrad
from polytask.balancing.methods.dualproj import DualProj
from polytask.balancing.methods.fairgrad import FairGrad
from polytask.balancing.methods.gradvac import GradVac
from polytask.balancing.methods.imtl import IMTL
from polytask.balancing.methods.imtl_g import IMTLG
from polytask.balancing.methods.mgda import MGDA
from polytask.balancing.methods.nash_mtl import NashMTL
from polytask.balancing.methods.pcgrad import PCGrad
from polytask.balancing.methods.upgrad import UPGrad
from polytask.errors import ConfigError

# --- relations among methods ---


@pytest.mark.parametrize("seed", range(5))
def test_with_two_tasks_five_methods_take_the_bisector(seed):
    J = random(2, 6, seed) * tensor([[1.0], [30.0]])
    units = torch.stack([unit(J[0]), unit(J[1])])
    updates = [weigh(method, J) @ J for method in (NashMTL(), FairGrad(1.0), IMTLG(), METHODS.build("config"))]
    updates.append(weigh(MGDA("l2"), J) @ units)
    for d in updates:
        near(unit(d), unit(units.sum(0)), 1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_with_two_tasks_upgrad_is_half_of_pcgrad(seed):
    J = random(2, 3, seed)
    near(weigh(UPGrad(), J) @ J, weigh(PCGrad(), J) @ J / 2)


def test_fairgrad_at_one_is_nash_and_at_zero_the_sum():
    J = random(5, 9)
    near(weigh(FairGrad(1.0), J), weigh(NashMTL(), J))
    near(weigh(FairGrad(0.0), J), torch.ones(5))


@pytest.mark.parametrize("alpha", [0.5, 2.0])
def test_fairgrad_scales_as_documented(alpha):
    J, c = random(4, 9), 100.0
    near(weigh(FairGrad(alpha), c * J), c ** (-2 * alpha / (1 + alpha)) * weigh(FairGrad(alpha), J))


def test_cagrad_goes_from_the_mean_to_mgda():
    J = random(4, 9)
    near(weigh(CAGrad(c=0.0), J), torch.full((4,), 0.25))
    near(unit(weigh(CAGrad(c=1e7), J) @ J), unit(weigh(MGDA(), J) @ J), 1e-6)


@pytest.mark.parametrize(("rescale", "factor"), [(0, 1.0), (1, 1.16), (2, 1.4)])
def test_cagrad_lies_on_the_ball(rescale, factor):
    J = random(4, 9)
    d = factor * weigh(CAGrad(c=0.4, rescale=rescale), J) @ J
    near((d - J.mean(0)).norm(), 0.4 * J.mean(0).norm())


def test_aligned_gradients_are_orthogonal_and_of_equal_length():
    J = random(4, 9)
    rows = torch.stack(
        [weigh(AlignedMTL(preference={str(t): 1e9 for t in (i,)}), J) @ J for i in range(4)]  # all of p on one task
    )
    shortest = torch.linalg.eigvalsh(J @ J.T)[0]
    near(rows @ rows.T, shortest * torch.eye(4), 1e-6)


def test_imtl_has_the_direction_of_imtl_g_and_the_scales_of_imtl_l():
    J, losses = random(3, 8), tensor([4.0, 0.5, 1.0])
    method = IMTL(lr=0.5)
    state = method.init(("a", "b", "c"), losses)
    for _ in range(3):
        before = state["s"]
        w, state = method.weigh(Evidence(losses, J @ J.T), state, Generator())
        near(unit(w @ J), unit(weigh(IMTLG(), J) @ J))
        near((w / before.exp()).sum().abs(), 1.0)  # weights of the scaled gradients
    assert state["s"][0] < 0 < state["s"][1]
    near(state["s"][2], 0.0)


def test_pcgrad_may_conflict_with_three_tasks_but_not_with_two():
    worst = min(float((J @ (weigh(PCGrad(), J) @ J)).min()) for J in (random(3, 2, seed) for seed in range(50)))
    assert worst < 0
    for seed in range(50):
        J = random(2, 3, seed)
        assert float((J @ (weigh(PCGrad(), J) @ J)).min()) > -1e-12


def test_pcgrad_draws_its_order_from_the_generator():
    J = random(6, 4)
    evidence = Evidence(torch.ones(6).double(), J @ J.T)
    draws = [PCGrad().weigh(evidence, {}, Generator().manual_seed(seed))[0] for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


# --- preferences ---


def preferring(method, p):
    return type(method)(preference=dict(zip("0123", p, strict=True)))


def test_nash_with_preferences_solves_the_asymmetric_bargain():
    J, p = random(4, 9), tensor([1.0, 2.0, 3.0, 4.0])
    w = weigh(preferring(NashMTL(), p.tolist()), J)
    near(w * (J @ (w @ J)), 4 * p / p.sum())


@pytest.mark.parametrize("method", [UPGrad(), DualProj()], ids=["upgrad", "dualproj"])
def test_projections_with_preferences_start_from_the_preferred_mean(method):
    J, p = random(4, 9), tensor([1.0, 2.0, 3.0, 4.0])
    w = weigh(preferring(method, p.tolist()), J)
    assert (w >= p / 10 - 1e-12).all()
    apart = torch.eye(4, 9, dtype=torch.float64)  # no conflict: nothing to project
    near(weigh(preferring(method, p.tolist()), apart), p / 10)


def test_scaling_a_loss_is_a_preference_for_upgrad():
    J, p = random(4, 9), tensor([1.0, 2.0, 3.0, 4.0])
    near(10 * weigh(preferring(UPGrad(), p.tolist()), J) @ J, 4 * weigh(UPGrad(), J * p[:, None]) @ (J * p[:, None]))


@pytest.mark.parametrize("name", ["nash_mtl", "upgrad", "dualproj", "aligned_mtl"])
def test_preferences_are_checked_and_go_by_name(name):
    method = METHODS.build({"name": name, "preference": {"b": 3.0}})
    assert method.mentions() == {"b"}
    near(method.init(("a", "b"), torch.ones(2))["preference"], [1.0, 3.0])
    assert METHODS.build(name).init(("a", "b"), torch.ones(2)) == {}
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="above 0"):
            METHODS.build({"name": name, "preference": {"b": wrong}})


@pytest.mark.parametrize(
    "config",
    [
        {"name": "cagrad", "c": -1.0},
        {"name": "cagrad", "rescale": 3},
        {"name": "fairgrad", "alpha": -0.1},
        {"name": "gradvac", "beta": 1.5},
        {"name": "mgda", "normalise": "l1"},
    ],
)
def test_wrong_hyperparameters_are_refused(config):
    with pytest.raises(ConfigError):
        METHODS.build(config)


# --- the memory of pairs ---


def test_pairs_of_tasks_are_kept_when_tasks_come_and_go():
    memory = Memory(GradVac().init)
    like = torch.zeros(2, dtype=torch.float64)
    assert memory.gather(("a", "b"), like)["pairs.cosine"].tolist() == [[0, 0], [0, 0]]
    memory.scatter(("a", "b"), {"pairs.cosine": tensor([[1.0, 2.0], [3.0, 4.0]])})
    met = memory.gather(("c", "a"), like)["pairs.cosine"]
    assert met.tolist() == [[0, 0], [0, 1]]
    before = memory.state["pairs.cosine"]
    memory.scatter(("c", "a"), {"pairs.cosine": tensor([[5.0, 6.0], [7.0, 8.0]])})
    assert before.tolist() == [[1, 2, 0], [3, 4, 0], [0, 0, 0]]  # replaced, not changed
    expected = [[4, 0, 3], [0, 5, 6], [2, 7, 8]]
    assert memory.gather(("b", "c", "a"), torch.zeros(3).double())["pairs.cosine"].tolist() == expected


def test_gradvac_keeps_the_memory_of_pairs_without_gradient():
    method = GradVac(beta=0.5)
    J = random(3, 4)
    losses = torch.ones(3).double()
    _, state = method.weigh(Evidence(losses, J @ J.T), method.init(("a", "b", "c"), losses), Generator())
    J[1] = 0
    _, after = method.weigh(Evidence(losses, J @ J.T), state, Generator())
    near(after["pairs.cosine"][1], state["pairs.cosine"][1])
    near(after["pairs.cosine"][:, 1], state["pairs.cosine"][:, 1])
    assert not torch.equal(after["pairs.cosine"][0, 2], state["pairs.cosine"][0, 2])


@everyone
def test_gradients_on_a_ray_agree(method):
    """All gradients parallel: no conflict, and every method goes along them."""
    g = random(1, 6)
    J = g * tensor([[1.0], [2.0], [0.5]])
    d = weigh(method, J) @ J
    near(unit(d), unit(g[0]), 1e-8)
