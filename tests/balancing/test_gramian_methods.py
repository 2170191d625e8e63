"""Methods that see the Gramian: worked examples, hard inputs, relations among methods."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Generator

from polytask.balancing.contract import Evidence
from polytask.balancing.memory import Memory
from polytask.balancing.methods import METHODS, gradvac, pcgrad
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

VECTORS = json.loads((Path(__file__).parent / "gramian_vectors.json").read_text())
ALL = [
    MGDA(),
    PCGrad(),
    GradVac(),
    CAGrad(),
    IMTLG(),
    IMTL(),
    NashMTL(),
    AlignedMTL(),
    FairGrad(),
    UPGrad(),
    DualProj(),
]
MEASURED = [MGDA(), CAGrad(), IMTLG(), NashMTL(), FairGrad(), DualProj()]

everyone = pytest.mark.parametrize("method", ALL, ids=METHODS.name_of)


def worked(method):
    return pytest.mark.parametrize("v", VECTORS[method], ids=lambda v: v["id"])


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def weigh(method, jacobian, losses=None, dtype=torch.float64):
    J = jacobian.to(dtype) if torch.is_tensor(jacobian) else torch.tensor(jacobian, dtype=dtype)
    losses = torch.ones(len(J), dtype=dtype) if losses is None else losses
    state = method.init(tuple(map(str, range(len(J)))), losses)
    return method.weigh(Evidence(losses, J @ J.T), state, Generator().manual_seed(0))[0]


def near(found, expected, tol=1e-9):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=tol, atol=tol)


def random(T, P, seed=0):
    return torch.randn(T, P, generator=Generator().manual_seed(seed), dtype=torch.float64)


def unit(vector):
    return vector / vector.norm()


@worked("mgda")
def test_mgda(v):
    J = tensor(v["inputs"]["J"])
    if v["id"].endswith("l2norm"):
        near(weigh(MGDA("l2"), J), v["expected"]["weights_on_normalised_grads"])
        near(weigh(MGDA("loss"), J, losses=J.norm(dim=1)), v["expected"]["weights_on_normalised_grads"])
        near(weigh(MGDA("loss+"), J), v["expected"]["weights_on_normalised_grads"])
    else:
        w = weigh(MGDA(), J)
        near(w, v["expected"]["weights"])
        near((w @ J).square().sum(), v["expected"]["min_norm_sq"])


@worked("nash_mtl")
def test_nash_mtl(v):
    J = tensor(v["inputs"]["J"])
    w = weigh(NashMTL(), J)
    near(w, v["expected"]["alpha"])
    near((w @ J).square().sum(), float(len(J)))


@worked("imtl_g")
def test_imtl_g(v):
    J = tensor(v["inputs"]["J"])
    w = weigh(IMTLG(), J)
    near(w, v["expected"]["weights"])
    near((J / J.norm(dim=1, keepdim=True)) @ (w @ J), v["expected"]["unit_projections"])


@worked("aligned_mtl")
def test_aligned_mtl(v):
    near(weigh(AlignedMTL(v["inputs"]["scale_mode"]), v["inputs"]["J"]), v["expected"]["weights"])


@worked("dualproj")
def test_dualproj(v):
    near(weigh(DualProj(), v["inputs"]["J"]), v["expected"]["weights"])


@worked("upgrad")
def test_upgrad(v):
    near(weigh(UPGrad(), v["inputs"]["J"]), v["expected"]["weights"])


@worked("fairgrad")
def test_fairgrad(v):
    near(weigh(FairGrad(v["inputs"]["alpha"]), v["inputs"]["J"]), v["expected"]["weights"])


@worked("cagrad")
def test_cagrad(v):
    near(weigh(CAGrad(v["inputs"]["c"], v["inputs"]["rescale"]), v["inputs"]["J"]), v["expected"]["weights"], v["tol"])


def in_order(monkeypatch, orders):
    """Tasks are met in the given order; a task's own place is anywhere."""
    full = torch.tensor([[*others, i] for i, others in enumerate(orders)]).numpy()
    for module in (pcgrad, gradvac):
        monkeypatch.setattr(module, "random_order", lambda *_: full)


@worked("pcgrad")
def test_pcgrad(v, monkeypatch):
    in_order(monkeypatch, v["inputs"]["orders"])
    J = tensor(v["inputs"]["J"])
    near(weigh(PCGrad(), J), v["expected"]["weights"])
    near(weigh(PCGrad("mean"), J) * len(J), v["expected"]["weights"])


@worked("gradvac")
def test_gradvac(v, monkeypatch):
    in_order(monkeypatch, v["inputs"]["orders"])
    method = GradVac(v["inputs"]["beta"])
    losses = torch.ones(2, dtype=torch.float64)
    state = method.init(("a", "b"), losses)
    for jacobian, call in zip(v["inputs"]["J_sequence"], v["expected"]["calls"], strict=True):
        J = tensor(jacobian)
        w, state = method.weigh(Evidence(losses, J @ J.T), state, Generator())
        near(w @ J, call["update"])
        near(state["pairs.cosine"], call["rho_ema"])


PARALLEL, OPPOSITE = (v for v in VECTORS["degenerate"])


@pytest.mark.parametrize(
    ("method", "key"),
    [(MGDA(), "mgda"), (PCGrad(), "pcgrad"), (UPGrad(), "upgrad"), (DualProj(), "dualproj")],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("v", [PARALLEL, OPPOSITE], ids=lambda v: v["id"])
def test_degenerate_examples(v, method, key):
    J = tensor(v["inputs"]["J"])
    near(weigh(method, J) @ J, v["expected"][f"{key}_update"])


# --- hard inputs ---

ALONE = {"mgda": 1.0, "pcgrad": 1.0, "gradvac": 1.0, "imtl_g": 1.0, "imtl": 1.0, "aligned_mtl": 1.0, "upgrad": 1.0}
ALONE |= {"dualproj": 1.0, "cagrad": 1.5 / 1.25, "nash_mtl": 1 / 5, "fairgrad": 5 ** (-4 / 3)}
"""The weight of a task alone whose gradient has the length 5, as documented."""


@everyone
def test_a_task_alone_gets_its_plain_gradient_up_to_the_documented_scale(method):
    near(weigh(method, [[3.0, 4.0]]), [ALONE[METHODS.name_of(method)]])


T = 4
NO_GRADIENT = {"mgda": 0.0, "imtl_g": 0.0, "imtl": 0.0, "nash_mtl": 0.0, "fairgrad": 0.0, "aligned_mtl": 0.0}
NO_GRADIENT |= {"pcgrad": 1.0, "gradvac": 1.0, "cagrad": 1 / T / 1.25, "upgrad": 1 / T, "dualproj": 1 / T}
ALL_ZERO = NO_GRADIENT | {"mgda": 1 / T}


@everyone
def test_a_zero_gradient_has_the_documented_weight_and_stops_nobody(method):
    J = random(T, 9)
    J[2] = 0
    w = weigh(method, J)
    near(w[2], NO_GRADIENT[METHODS.name_of(method)])
    assert (w @ J).norm() > 1e-3
    if METHODS.name_of(method) in ("mgda", "imtl_g", "imtl", "nash_mtl", "fairgrad"):
        kept = [0, 1, 3]
        near(w[kept], weigh(method, J[kept]))  # as if the task were absent


@everyone
def test_all_zero(method):
    near(weigh(method, torch.zeros(T, 5)), [ALL_ZERO[METHODS.name_of(method)]] * T)


@everyone
def test_exactly_opposite_gradients_leave_nothing(method):
    g = random(1, 7)
    J = torch.cat([g, -g])
    w = weigh(method, J)
    assert w.isfinite().all()
    assert float((w @ J).norm()) < 1e-9 * max(1.0, float(w.abs().max())) * float(g.norm())


@everyone
def test_duplicate_rows_share_equally(method):
    J = random(3, 8)
    J = J[[0, 1, 2, 1]]
    w = weigh(method, J)
    assert w.isfinite().all()
    if method not in (PCGrad(), GradVac()):  # random order
        near(w[1], w[3], 1e-7)


@everyone
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_more_tasks_than_parameters(method, dtype):
    J = random(30, 5).to(dtype)
    w = weigh(method, J, dtype=dtype)
    assert w.isfinite().all()
    assert w.dtype == dtype
    assert float((w @ J).norm()) <= 1e4 * 30


@pytest.mark.parametrize("method", MEASURED, ids=METHODS.name_of)
@pytest.mark.parametrize("scale", [1e-10, 1e-5, 1.0, 1e5, 1e10])
@pytest.mark.parametrize("spread", [1.0, 1e6])
def test_solved_at_every_scale(method, scale, spread):
    """Row scales from 1e-10 to 1e10 and norms a million apart: the conditions hold, and the answer is no fallback."""
    J = random(6, 40) * torch.logspace(0, math.log10(spread), 6, dtype=torch.float64)[:, None] * scale
    w = weigh(method, J)
    evidence = Evidence(torch.ones(6, dtype=torch.float64), J @ J.T)
    assert method.residual(evidence, {}, w) < 1e-9
    assert w.std() > 1e-3 * w.mean().abs()


@everyone
@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_the_direction_does_not_depend_on_a_common_scale(method, scale):
    J = random(5, 12)
    d, e = weigh(method, J) @ J, weigh(method, J * scale) @ (J * scale)
    near(unit(e), unit(d), 1e-8)


@everyone
def test_the_rounding_of_float32_does_not_matter(method):
    """Two almost equal gradients: their Gramian in float32 has a negative eigenvalue."""
    g = random(1, 1000).float()
    J = torch.cat([g, g + 1e-5 * random(1, 1000, 1).float(), random(2, 1000, 2).float()])
    gramian = J @ J.T
    gramian[0, 1] = gramian[1, 0] = 1.0000005 * (gramian[0, 0] * gramian[1, 1]).sqrt()
    assert torch.linalg.eigvalsh(gramian.double())[0] < 0
    state = method.init(("a", "b", "c", "d"), torch.ones(4))
    w, _ = method.weigh(Evidence(torch.ones(4), gramian), state, Generator().manual_seed(0))
    assert w.isfinite().all()
    assert float((J @ (w @ J)).min()) > -1e-2 * float((w.abs() @ J.norm(dim=1)) * J.norm(dim=1).max())


@everyone
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible(method, bad):
    J = random(3, 5)
    J[1, 2] = bad
    assert weigh(method, J).isnan().all()


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
