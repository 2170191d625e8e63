"""Worked examples, computed independently in float64 with the formulas of the papers (vectors.json)."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from polytask.balancing import Balancer, Evidence, weigh
from polytask.balancing.methods.dwa import DWA
from polytask.balancing.methods.gls import GLS
from polytask.balancing.methods.imtl_l import IMTLL
from polytask.balancing.methods.revised_uncertainty import RevisedUncertainty
from polytask.balancing.methods.rlw import RLW
from polytask.balancing.methods.uncertainty import Uncertainty

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())


def vector(method, name):
    return next(v for v in VECTORS[method] if v["id"] == name)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def near(found, expected, tol=1e-12):
    torch.testing.assert_close(found, tensor(expected), rtol=tol, atol=tol)


def learn(method, s, losses):
    """Weights, derivative with respect to s, and the next memory of a learned method whose s is given."""
    state = {**method.init(("a", "b", "c"), losses), "s": s}
    w, after = method.weigh(Evidence(losses), state, torch.Generator())
    return w, after["first"] / 0.1, after  # the first moment starts at 0 and takes a tenth of the derivative


def test_equal():
    v = vector("equal", "sum3")
    losses = tensor(v["inputs"]["losses"]).requires_grad_()
    w = weigh("equal", losses=losses)
    near(w, v["expected"]["weights_sum"])
    near((w * losses.detach()).sum(), v["expected"]["total"])


def test_fixed():
    v = vector("fixed_weights", "w3")
    weights = dict(zip("abc", v["inputs"]["weights"], strict=True))
    losses = tensor(v["inputs"]["losses"])
    w = weigh({"name": "fixed", "weights": weights}, losses=losses, tasks="abc")
    near(w, v["inputs"]["weights"])
    near(w @ losses, v["expected"]["total"])


@pytest.mark.parametrize("name", ["half_init0", "half_generic", "classification"])
def test_uncertainty(name):
    v = vector("uncertainty_weighting", name)
    losses, s = tensor(v["inputs"]["losses"]), tensor(v["inputs"]["s_logvar"])
    form = "classification" if name == "classification" else "regression"
    w, slope, _ = learn(Uncertainty(form=form), s, losses)
    near(w, v["expected"]["loss_weights"])
    near(slope, v["expected"]["dtotal_ds"])
    near(w @ losses + s.sum() / 2, v["expected"]["total"])


def test_uncertainty_rests_where_every_weighted_loss_is_a_half():
    v = vector("uncertainty_weighting", "stationary_s")
    losses, s = tensor(v["inputs"]["losses"]), tensor(v["expected"]["s_star"])
    w, slope, _ = learn(Uncertainty(), s, losses)
    near(w, v["expected"]["loss_weights"])
    near(slope, [0.0] * 3)
    near(w @ losses + s.sum() / 2, v["expected"]["total_at_s_star"])


def test_revised_uncertainty():
    v = vector("uncertainty_weighting_revised", "lk_sigma")
    losses, sigma = tensor(v["inputs"]["losses"]), tensor(v["inputs"]["sigma"])
    s = 2 * sigma.log()
    w, slope, _ = learn(RevisedUncertainty(), s, losses)
    near(w, v["expected"]["loss_weights"])
    near(slope * 2 / sigma, v["expected"]["dtotal_dsigma"])  # ds = 2 dsigma / sigma
    near(w @ losses + (1 + s.exp()).log().sum(), v["expected"]["total"])


def test_revised_uncertainty_rests_at_its_optimum():
    v = vector("uncertainty_weighting_revised", "lk_stationary")
    s = tensor(v["expected"]["sigma2_star"]).log()
    _, slope, _ = learn(RevisedUncertainty(), s, tensor(v["inputs"]["losses"]))
    near(slope, [0.0] * 3)


@pytest.mark.parametrize("name", ["generic", "stationary"])
def test_imtl_l(name):
    v = vector("imtl_l", name)
    s = tensor(v["inputs"].get("s", v["expected"].get("s_star")))
    losses = tensor(v["inputs"]["losses"])
    w, slope, _ = learn(IMTLL(), s, losses)
    near(w @ losses - s.sum(), v["expected"]["total"])
    near(slope, v["expected"].get("dtotal_ds", [0.0] * 3))
    near(w, v["expected"].get("loss_weights", [1 / L for L in v["inputs"]["losses"]]))


def test_imtl_l_is_twice_uncertainty_with_the_sign_of_s_turned():
    losses, s = tensor([1.2, 0.3, 4.0]), tensor([0.1, -0.5, 0.7])
    w, slope, _ = learn(IMTLL(), s, losses)
    w_uncertainty, slope_uncertainty, _ = learn(Uncertainty(), -s, losses)
    near(w, (2 * w_uncertainty).tolist())
    near(slope, (-2 * slope_uncertainty).tolist())


@pytest.mark.parametrize("steps", [1, 5])
def test_dwa_over_epochs(steps):
    """Epoch means decide, however they spread over the steps of the epoch."""
    v = vector("dwa", "epochs_T2")
    method = DWA(tau=v["inputs"]["temperature"])
    means = [*v["inputs"]["epoch_mean_losses"], [1.0, 1.0, 1.0]]
    state = method.init(("a", "b", "c"), tensor([0.0] * 3))
    spread = torch.linspace(-0.2, 0.2, steps, dtype=torch.float64) if steps > 1 else tensor([0.0])
    for mean, expected in zip(means, v["expected"]["weights_used_in_epoch_0_1_2_3"], strict=True):
        for offset in spread:
            w, state = method.weigh(Evidence(tensor(mean) + offset), state, torch.Generator())
            near(w, expected)
        state = method.epoch_end(state)


def test_dwa_in_the_balancer_follows_the_epochs_too():
    v = vector("dwa", "epochs_T2")
    balancer = Balancer("dwa")
    for mean, expected in zip(
        [*v["inputs"]["epoch_mean_losses"], [1.0] * 3], v["expected"]["weights_used_in_epoch_0_1_2_3"], strict=True
    ):
        losses = {name: tensor(value).requires_grad_() for name, value in zip("abc", mean, strict=True)}
        near(balancer.backward(losses).weight_values, expected)
        balancer.epoch_end()


def test_gls():
    v = vector("gls", "geo3")
    losses = tensor(v["inputs"]["losses"]).requires_grad_()
    w = weigh("gls", losses=losses)
    near(w, v["expected"]["effective_weights_dtotal_dL"])
    near(w @ losses.detach(), v["expected"]["total"])
    (by_autograd,) = torch.autograd.grad(losses.prod() ** (1 / 3), losses)
    near(w, by_autograd.tolist())


@pytest.mark.parametrize("size", [1e-2, 1e2])
def test_gls_of_forty_losses_neither_vanishes_nor_overflows(size):
    losses = torch.full((40,), size)  # float32: the product would be 1e-80 or 1e80
    torch.testing.assert_close(GLS().weigh(Evidence(losses), {}, torch.Generator())[0], torch.full((40,), 1 / 40))


def test_log():
    v = vector("scale_invariant", "sumlog")
    losses = tensor(v["inputs"]["losses"]).requires_grad_()
    w = weigh("log", losses=losses)
    near(w, v["expected"]["effective_weights"])
    near(losses.detach().log().sum(), v["expected"]["total"])
    near(w * losses.detach(), [1.0] * 3)


def test_rlw_is_the_softmax_of_normal_numbers(monkeypatch):
    v = vector("rlw", "normal_given_z")
    monkeypatch.setattr(torch, "randn", lambda *_, **__: tensor(v["inputs"]["z"]))
    losses = tensor(v["inputs"]["losses"])
    w, _ = RLW().weigh(Evidence(losses), {}, torch.Generator())
    near(w, v["expected"]["weights"])
    near(w @ losses, v["expected"]["total"])


def test_rlw_is_equal_on_average():
    rng = torch.Generator().manual_seed(0)
    draws = torch.stack([RLW().weigh(Evidence(tensor([1.0] * 4)), {}, rng)[0] for _ in range(4000)])
    error = draws.std(0) / math.sqrt(4000)
    assert ((draws.mean(0) - 0.25).abs() < 4 * error).all()


ALONE = {"equal": 1.0, "uncertainty": 0.5, "revised_uncertainty": 0.5, "dwa": 1.0, "gls": 1.0, "log": 0.25, "rlw": 1.0}
ALONE |= {"imtl_l": 1.0, "fixed": 3.0}


@pytest.mark.parametrize("name", list(ALONE))
def test_a_task_alone_gets_its_plain_gradient_up_to_the_documented_scale(name):
    method = {"name": name} | ({"weights": {"0": 3.0}} if name == "fixed" else {})
    near(weigh(method, losses=tensor([4.0])), [ALONE[name]])
