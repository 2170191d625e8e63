"""GradNorm, GCS, OL-AUX, SDMGrad, MoDo, Krum and ConFIG: worked examples, slow twins, torchjd, the edges."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import pytest
import torch

from polytask.balancing import METHODS, Evidence, weigh
from polytask.balancing.methods.gcs import GCS
from polytask.balancing.methods.gradnorm import GradNorm, derivative
from polytask.balancing.methods.modo import MoDo
from polytask.balancing.methods.ol_aux import OLAUX
from polytask.balancing.methods.sdmgrad import SDMGrad
from polytask.errors import ConfigError

VECTORS = json.loads((Path(__file__).parent / "more_vectors.json").read_text())
NAMES = tuple("abcdefgh")
RNG = torch.Generator()


def vector(method, name):
    return next(v for v in VECTORS[method] if v["id"] == name)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def near(found, expected, tol=1e-12):
    torch.testing.assert_close(found, tensor(expected), rtol=tol, atol=tol)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def evidence(J, losses=None, cross=None):
    return Evidence(torch.ones(len(J), dtype=J.dtype) if losses is None else losses, J @ J.T, cross=cross)


def peer(name, *args, **fields):
    """An aggregator or weighting of torchjd, or a skip without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aggregation = pytest.importorskip("torchjd.aggregation")
        return getattr(aggregation, name)(*args, **fields)


# GradNorm


@pytest.mark.parametrize("alpha", ["1.5", "0.12", "0.0"])
def test_gradnorm_vectors(alpha):
    v = vector("gradnorm", f"one_sgd_step_alpha{alpha}")
    given, expected = v["inputs"], v["expected"]
    w, lengths = tensor(given["w"]), tensor(given["task_grad_norms_unweighted"])
    progress = tensor(given["losses"]) / tensor(given["initial_losses"])
    slope = derivative(w, lengths, progress, float(alpha))
    near(slope, expected["dLgrad_dw"])
    stepped = w - given["lr_w"] * slope
    near(3 * stepped / stepped.sum(), expected["w_renormalised"])


def test_gradnorm_is_what_autograd_and_adam_make_of_its_definition():
    J, losses = [draw(3, 6, seed=s) * tensor([[1.0], [5.0], [0.2]]) for s in range(30)], draw(30, 3).exp()
    method = GradNorm(alpha=0.7, lr=0.05)
    state = method.init(NAMES[:3], losses[0])
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([weights], lr=0.05, eps=0)
    for step in range(30):
        w, state = method.weigh(evidence(J[step], losses[step]), state, RNG)
        torch.testing.assert_close(w, weights.detach(), rtol=1e-5, atol=0)  # theirs has no 1e-8
        G = weights * J[step].norm(dim=1)
        r = losses[step] / losses[0]
        target = (G.mean() * (r / r.mean()) ** 0.7).detach()
        adam.zero_grad()
        (G - target).abs().sum().backward()
        adam.step()
        with torch.no_grad():
            weights *= 3 / weights.clamp_(min=1e-6).sum()


def test_gradnorm_with_alpha_zero_brings_all_gradients_to_one_length():
    J = draw(3, 6) * tensor([[1.0], [8.0], [0.3]])
    method = GradNorm(alpha=0.0, lr=0.01)
    state = method.init(NAMES[:3], J[:, 0])
    for _ in range(1500):
        w, state = method.weigh(evidence(J), state, RNG)
    lengths = w * J.norm(dim=1)
    torch.testing.assert_close(lengths, lengths.mean().expand(3), rtol=0.1, atol=0)


def test_gradnorm_of_present_tasks_sums_to_their_number():
    J = draw(4, 6)
    method = GradNorm()
    state = method.init(NAMES[:4], J[:, 0])
    for _ in range(5):
        _, state = method.weigh(evidence(J), state, RNG)
    some = {key: rows[:2] for key, rows in state.items()}
    w, after = method.weigh(evidence(J[:2]), some, RNG)
    near(w.sum(), 2.0)
    near(after["s"].sum(), 2.0)


# GCS


@pytest.mark.parametrize("name", ["aligned", "conflict"])
def test_gcs_vectors(name):
    v = vector("aux_gradient_cosine", name)
    J = tensor([v["inputs"]["g_main"], v["inputs"]["g_aux"]])
    for weighted in (True, False):
        config = {"name": "gcs", "main": ["m"], "weighted": weighted}
        w = weigh(config, gramian=J @ J.T, tasks=("m", "k"))
        near(w @ J, v["expected"]["weighted_update" if weighted else "unweighted_update"])


def test_gcs_with_two_main_tasks_takes_their_sum():
    J = draw(4, 9)
    w = weigh({"name": "gcs", "main": ["b", "d"]}, gramian=J @ J.T, tasks="abcd")
    main = J[1] + J[3]
    cosines = J @ main / J.norm(dim=1) / main.norm()
    near(w, [max(0.0, float(cosines[0])), 1.0, max(0.0, float(cosines[2])), 1.0])


@pytest.mark.parametrize(("weighted", "gate"), [(True, 0.0), (False, 1.0)])
def test_gcs_without_its_main_task_or_with_a_gradient_of_zero(weighted, gate):
    method, J = GCS(("m",), weighted), draw(2, 5)
    w, _ = method.weigh(evidence(J), method.init(("a", "b"), J[:, 0]), RNG)
    near(w, [gate, gate])
    still = torch.stack([0 * J[0], J[1]])
    w, _ = method.weigh(evidence(still), method.init(("m", "b"), J[:, 0]), RNG)
    near(w, [1.0, gate])


@pytest.mark.parametrize("name", ["gcs", "ol_aux"])
def test_main_tasks_are_checked(name):
    with pytest.raises(ConfigError, match="main"):
        METHODS.build({"name": name, "main": []})
    with pytest.raises(ConfigError, match="main"):
        METHODS.build({"name": name, "main": ["a", "a"]})
    assert METHODS.build({"name": name, "main": ["a"]}).mentions() == {"a"}


# OL-AUX


def test_ol_aux_vector():
    """With losses of 1 the gradients of log-losses are the gradients."""
    v = vector("ol_aux", "inner_products_N2")
    given = v["inputs"]
    method = OLAUX(("m",), n=2, lr=given["lr_model"] * given["lr_w"])
    state = method.init(("m", "p", "q"), tensor([1.0] * 3))
    for step in range(2):
        J = tensor([given["g_main"][step], *(task[step] for task in given["g_aux"])])
        w, state = method.weigh(evidence(J), state, RNG)
        if step == 0:
            near(w, [1.0, *given["w"]])
            near(state["sum"][1:], (J[1:] @ J[0]).tolist())
    near(w, [1.0, *v["expected"]["w_after"]])
    near(state["sum"][1:], [0.0, 0.0])


def test_ol_aux_divides_by_the_losses():
    J, losses = draw(3, 5), tensor([2.0, 0.5, 4.0])
    method = OLAUX(("a",), n=1, lr=0.1)
    w, _ = method.weigh(evidence(J, losses), method.init(NAMES[:3], losses), RNG)
    H = J / losses[:, None]
    near(w * losses, [1.0, 1 + 0.1 * float(H[0] @ H[1]), 1 + 0.1 * float(H[0] @ H[2])])


@pytest.mark.parametrize(("non_negative", "lowest"), [(True, 0.0), (False, -9.0)])
def test_ol_aux_below_zero(non_negative, lowest):
    J = tensor([[1.0, 0.0], [-10.0, 0.0]])
    method = OLAUX(("a",), n=1, lr=1.0, non_negative=non_negative)
    w, _ = method.weigh(evidence(J), method.init(("a", "b"), J[:, 0]), RNG)
    near(w, [1.0, lowest])


def test_ol_aux_counts_only_steps_with_a_main_task():
    method, J = OLAUX(("m",), n=1), draw(2, 3)
    _, state = method.weigh(evidence(J), method.init(("a", "b"), J[:, 0]), RNG)
    near(state["v"], [1.0, 1.0])
    near(state["steps"], [0.0, 0.0])


# SDMGrad


@pytest.mark.parametrize("name", ["J2", "J3", "J3c"])
def test_sdmgrad_vectors(name):
    v = vector("sdmgrad", f"{name}_exact_lambda0.3")
    J = tensor(v["inputs"]["J"])
    w = weigh({"name": "sdmgrad", "lam": 0.3}, gramian=J @ J.T)
    near(w, v["expected"]["weights"], 1e-9)
    near(w @ J, v["expected"]["update"], 1e-9)


@pytest.mark.parametrize("name", ["J2", "J3", "J3c"])
def test_sdmgrad_iteration_vectors(name):
    v = vector("sdmgrad", f"{name}_sgd20_lr5")
    A = tensor(v["inputs"]["A"])
    method = SDMGrad(lam=v["inputs"]["lambda"], lr=v["inputs"]["lr"])
    given = Evidence(torch.ones_like(A[0]), A, cross=A)
    w, state = method.weigh(given, method.init(NAMES[: len(A)], A[0]), RNG)
    near(state["w"], v["expected"]["w"], 1e-6)
    near(w, v["expected"]["weights"], 1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scales", [[1.0] * 5, [1e-3, 1.0, 10.0, 1e3, 1e4]])
def test_sdmgrad_solution_is_optimal(seed, scales):
    """On the simplex: every task's derivative at least the mean derivative, equal where its w is above 0."""
    J, lam = draw(5, 12, seed=seed) * tensor(scales)[:, None], 0.4
    d = weigh({"name": "sdmgrad", "lam": lam}, gramian=J @ J.T)
    w = d * (1 + lam) - lam / 5
    g = J @ (d @ J)
    low = float((w * g).sum())
    room = 1e-9 * float((J.norm(dim=1) * (d @ J).norm()).max())
    assert (g >= low - room).all()
    assert ((g - low).abs() <= room)[w > 1e-9].all()


def test_sdmgrad_between_mgda_and_the_mean():
    J = draw(4, 9)
    near(weigh({"name": "sdmgrad", "lam": 1e9}, gramian=J @ J.T), [0.25] * 4, 1e-8)
    mgda = weigh("mgda", gramian=J @ J.T)
    torch.testing.assert_close(weigh({"name": "sdmgrad", "lam": 0.0}, gramian=J @ J.T), mgda, rtol=1e-9, atol=1e-9)


# MoDo


def test_modo_vector():
    v = vector("modo", "two_steps")
    method = MoDo(gamma=v["inputs"]["gamma"], rho=v["inputs"]["rho"])
    state = method.init(NAMES[:3], tensor([1.0] * 3))
    for (first, second), step in zip(v["inputs"]["J1_J2_pairs"], v["expected"]["steps"], strict=True):
        J1, J2 = tensor(first), tensor(second)
        w, state = method.weigh(evidence(J1, cross=J1 @ J2.T), state, RNG)
        near(w, step["lam"], 1e-10)
        near(w @ (J1 + J2) / 2, step["update_mean"], 1e-10)


def test_modo_on_one_batch_ends_at_the_shortest_combination():
    J = draw(3, 6, seed=2)
    method = MoDo(gamma=0.05, rho=0.0)
    state = method.init(NAMES[:3], J[:, 0])
    for _ in range(4000):
        w, state = method.weigh(evidence(J), state, RNG)
    torch.testing.assert_close(w, weigh("mgda", gramian=J @ J.T), rtol=1e-6, atol=1e-6)


# Krum


def test_krum_vector():
    v = vector("krum", "torchjd")
    J = tensor(v["inputs"]["J"])
    config = {"name": "krum", "outliers": v["inputs"]["n_byzantine"], "selected": v["inputs"]["n_selected"]}
    near(weigh(config, gramian=J @ J.T) @ J, v["expected"]["update"], 1e-9)


def test_krum_shares_ties_and_takes_few_tasks():
    g, h = draw(2, 6)
    J = torch.stack([g, g, g, g, 50 * h])
    near(weigh("krum", gramian=J @ J.T), [0.25] * 4 + [0.0])
    near(weigh("krum", gramian=(g @ g)[None, None]), [1.0])
    J = torch.stack([g, h])
    near(weigh("krum", gramian=J @ J.T), [0.5, 0.5])
    near(weigh({"name": "krum", "selected": 9}, gramian=J @ J.T), [0.5, 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_krum_parity_with_torchjd(seed):
    J = draw(7, 30, seed=seed)
    config = {"name": "krum", "outliers": 2, "selected": 3}
    theirs = peer("Krum", n_byzantine=2, n_selected=3)(J)
    torch.testing.assert_close(weigh(config, gramian=J @ J.T) @ J, theirs, rtol=1e-7, atol=0)  # theirs: 1/3 in float32


# ConFIG


@pytest.mark.parametrize("name", ["J2", "J2b", "J3", "J3c", "J3scaled"])
def test_config_vectors(name):
    v = vector("config", name)
    J = tensor(v["inputs"]["J"])
    d = weigh("config", gramian=J @ J.T) @ J
    near(d, v["expected"]["update"], 1e-9)
    near(J @ d / J.norm(dim=1), v["expected"]["unit_projections"], 1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(2, 5), (4, 30), (6, 3)])
def test_config_by_least_squares_on_the_jacobian(shape, seed):
    J = draw(*shape, seed=seed)
    U = J / J.norm(dim=1, keepdim=True)
    x = torch.linalg.pinv(U) @ torch.ones(len(J), dtype=torch.float64)
    u = x / x.norm()
    d = weigh("config", gramian=J @ J.T) @ J
    torch.testing.assert_close(d, (J @ u).sum() * u, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(d, peer("ConFIG")(J), rtol=1e-7, atol=1e-9)


def test_config_of_degenerate_gradients():
    g, h = draw(2, 6)
    cancel = torch.stack([g, -g])
    near(weigh("config", gramian=cancel @ cancel.T), [0.0, 0.0])
    still = torch.stack([g, 0 * g, h])
    with_zero, without = weigh("config", gramian=still @ still.T), weigh("config", gramian=still[::2] @ still[::2].T)
    torch.testing.assert_close(with_zero[[0, 2]], without, rtol=1e-9, atol=1e-12)
    assert with_zero[1] == 0
    twice = torch.stack([g, g, h])
    d = weigh("config", gramian=twice @ twice.T) @ twice
    near(twice @ d / twice.norm(dim=1) / d.norm(), [float(g @ d / g.norm() / d.norm())] * 3, 1e-9)
    near(weigh("config", gramian=(g @ g)[None, None]), [1.0])


# All of them


@pytest.mark.parametrize("size", [1e-10, 1.0, 1e10])
def test_weights_do_not_notice_the_unit_of_the_losses(size):
    J = draw(4, 9) * tensor([[1e-3], [1.0], [1.0], [1e3]])
    for name in ("config", "krum", "sdmgrad", "gradnorm"):
        scaled = weigh(name, gramian=size**2 * (J @ J.T), losses=size * torch.ones(4, dtype=torch.float64))
        plain = weigh(name, gramian=J @ J.T, losses=torch.ones(4, dtype=torch.float64))
        torch.testing.assert_close(scaled, plain, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"name": "gradnorm", "alpha": -1.0}, "alpha"),
        ({"name": "gradnorm", "lr": 0.0}, "lr"),
        ({"name": "ol_aux", "main": ["a"], "n": 0}, "n"),
        ({"name": "sdmgrad", "lam": -0.1}, "lam"),
        ({"name": "modo", "gamma": math.nan}, "gamma"),
        ({"name": "krum", "outliers": -1}, "outliers"),
        ({"name": "krum", "selected": 0}, "selected"),
    ],
)
def test_wrong_hyperparameters_name_their_key(config, key):
    with pytest.raises(ConfigError, match=key):
        METHODS.build(config)


# torchjd, where it defines the same thing


@pytest.mark.parametrize("seed", range(3))
def test_modo_and_sdmgrad_parity_with_torchjd_over_steps(seed):
    """They take the inner products of two batches, too; theirs adds 1e-8 to the unit of SDMGrad."""
    modo, sdmgrad = MoDo(gamma=0.02), SDMGrad()
    states = [method.init(NAMES[:4], tensor([1.0])) for method in (modo, sdmgrad)]
    theirs = peer("MoDoWeighting", gamma=0.02), peer("SDMGradWeighting")
    for step in range(5):
        J1, J2 = draw(4, 30, seed=10 * seed + step), draw(4, 30, seed=10 * seed + step + 500)
        given = evidence(J1, cross=J1 @ (0.5 * J1 + J2).T)
        for which, method in enumerate((modo, sdmgrad)):
            w, states[which] = method.weigh(given, states[which], RNG)
            torch.testing.assert_close(w, theirs[which](given.cross), rtol=1e-6, atol=1e-7)
