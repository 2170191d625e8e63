"""Methods that see the Gramian: worked examples, hard inputs, relations among methods."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from gramian_cases import MEASURED, everyone, near, random, tensor, unit, weigh
from torch import Generator

from polytask.balancing.contract import Evidence
from polytask.balancing.methods import METHODS, gradvac, pcgrad
from polytask.balancing.methods.aligned_mtl import AlignedMTL
from polytask.balancing.methods.cagrad import CAGrad
from polytask.balancing.methods.dualproj import DualProj
from polytask.balancing.methods.fairgrad import FairGrad
from polytask.balancing.methods.gradvac import GradVac
from polytask.balancing.methods.imtl_g import IMTLG
from polytask.balancing.methods.mgda import MGDA
from polytask.balancing.methods.nash_mtl import NashMTL
from polytask.balancing.methods.pcgrad import PCGrad
from polytask.balancing.methods.upgrad import UPGrad

VECTORS = json.loads((Path(__file__).parent / "gramian_vectors.json").read_text())


def worked(method):
    return pytest.mark.parametrize("v", VECTORS[method], ids=lambda v: v["id"])


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
    state = method.init(tuple("abcdef"), evidence.losses)
    assert method.residual(evidence, state, w) < 1e-9
    assert w.std() > 1e-3 * w.mean().abs()
    for t in range(6):  # a weight that is 3 % off its part of the update is seen
        moved = w.clone()
        moved[t] += 0.03 * (w * J.norm(dim=1)).abs().max() / J[t].norm()
        assert method.residual(evidence, state, moved) > 1e-4


def test_methods_that_solve_nothing_say_nothing():
    J = random(4, 9)
    for name in ("pcgrad", "gradvac"):
        method = METHODS.build(name)
        evidence = Evidence(torch.ones(4, dtype=torch.float64), J @ J.T)
        assert math.isnan(method.residual(evidence, {}, weigh(method, J)))


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
