"""Methods on the task gradients themselves: worked examples, slow obvious twins, torchjd, and degenerate gradients."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import pytest
import torch

from polytask.balancing import Combiner, Evidence, weigh
from polytask.balancing.methods import METHODS
from polytask.balancing.methods.db_mtl import DBMTL
from polytask.balancing.methods.excess_mtl import ExcessMTL
from polytask.balancing.methods.graddrop import GradDrop
from polytask.balancing.methods.moco import MoCo
from polytask.balancing.methods.trimmed_mean import TrimmedMean
from polytask.balancing.one_shot import answer
from polytask.errors import ConfigError, UserError
from polytask.maths import blocks
from polytask.maths.projection import onto_simplex

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


def evidence(J, losses=None):
    return Evidence(torch.ones(len(J), dtype=J.dtype) if losses is None else losses, J @ J.T, J)


def run(method, jacobians, losses=None):
    """Answers of a method that sees one Jacobian after the other."""
    state = method.init(NAMES[: len(jacobians[0])], jacobians[0])
    answers = []
    for step, J in enumerate(jacobians):
        given, state = answer(method, evidence(J, None if losses is None else losses[step]), state, RNG)
        answers.append(given)
    return answers, state


# GradDrop


@pytest.mark.parametrize("name", ["J3_leak0.0", "J3_leak0.3"])
def test_graddrop_vectors(name, monkeypatch):
    v = vector("graddrop", name)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: tensor(v["inputs"]["U"]))
    near(
        weigh({"name": "graddrop", "leak": v["inputs"]["leak"]}, jacobian=tensor(v["inputs"]["J"])),
        v["expected"]["update"],
    )


def test_graddrop_on_average():
    """4000 draws of every coordinate: columns of J repeated 4000 times are independent draws in one call."""
    v = vector("graddrop", "J3_expectation")
    J = tensor(v["inputs"]["J"])
    draws = weigh("graddrop", jacobian=J.repeat_interleave(4000, 1)).unflatten(0, (4, 4000))
    error = draws.std(1) / math.sqrt(4000)
    assert ((draws.mean(1) - tensor(v["expected"]["expected_update"])).abs() <= 4 * error).all()


def test_graddrop_formula_with_masks():
    J, leak = draw(5, 300), 0.25
    U = torch.rand(300, generator=torch.Generator().manual_seed(3))
    P = 0.5 * (1 + J.sum(0) / J.abs().sum(0))
    M = ((P > U) & (J > 0)) | ((P < U) & (J < 0))
    d = ((leak + (1 - leak) * M) * J).sum(0)
    torch.testing.assert_close(weigh({"name": "graddrop", "leak": leak}, jacobian=J, seed=3), d, rtol=1e-12, atol=1e-12)


def test_graddrop_keeps_what_all_agree_on_and_leak_one_is_the_sum():
    J = draw(4, 50)
    assert torch.equal(weigh("graddrop", jacobian=J.abs()), weigh("graddrop", jacobian=J.abs(), seed=9))
    torch.testing.assert_close(weigh("graddrop", jacobian=-J.abs()), -J.abs().sum(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(weigh({"name": "graddrop", "leak": 1.0}, jacobian=J), J.sum(0), rtol=1e-9, atol=1e-12)


# MoCo


def test_moco_vector():
    v = vector("moco", "projection_two_steps")
    method = MoCo(**{key: v["inputs"][key] for key in ("beta", "gamma", "rho")})
    state = method.init(NAMES[:3], tensor(v["inputs"]["J_sequence"][0]))
    for J, step in zip(v["inputs"]["J_sequence"], v["expected"]["steps"], strict=True):
        d, state = method.combine(evidence(tensor(J)), state, RNG)
        near(state["y"], step["y"], 1e-10)
        near(state["w"], step["lam"], 1e-10)
        near(d, step["update"], 1e-10)


def test_moco_with_a_constant_jacobian_ends_at_the_shortest_combination():
    J = draw(3, 6, seed=2)
    d = run(MoCo(beta=1.0, gamma=0.05, rho=0.0), [J] * 4000)[0][-1]
    assert (J @ d >= d @ d - 1e-8).all()  # the optimality condition of MGDA


@pytest.mark.parametrize("T", [1, 2, 3, 7])
def test_projection_meets_its_optimality_conditions(T):
    for seed in range(20):
        v = draw(T, seed=seed) * 10 ** float(draw(1, seed=seed + 100))
        w = onto_simplex(v)
        assert (w >= 0).all()
        near(w.sum(), 1.0)
        pull = v - w  # the same for all that are above 0, not larger for the others
        torch.testing.assert_close(pull[w > 0], pull.max().expand(int((w > 0).sum())), rtol=1e-9, atol=1e-9)


def test_projection_of_huge_numbers():
    near(onto_simplex(tensor([1e30, -1e30, 0.0])), [1.0, 0.0, 0.0])
    near(onto_simplex(tensor([-1e30, -1e30])), [0.5, 0.5])
    assert onto_simplex(tensor([math.nan, 1.0])).isnan().all()


# DB-MTL


def test_db_mtl_vector():
    """The published code adds 1e-8 to losses and lengths; the agreement is 1e-7."""
    v = vector("db_mtl", "two_steps")
    method = DBMTL(beta=v["inputs"]["beta"], sigma=v["inputs"]["beta_sigma"])
    jacobians, losses = tensor(v["inputs"]["grads_of_raw_losses"]), tensor(v["inputs"]["losses"])
    state = method.init(NAMES[:2], jacobians[0])
    for J, L, step in zip(jacobians, losses, v["expected"]["steps"], strict=True):
        d, state = method.combine(evidence(J, L), state, RNG)
        near(state["b"], step["ema"], 1e-7)
        near(d, step["update"], 1e-7)


def test_db_mtl_sums_gradients_of_one_length():
    jacobians, losses = (
        [draw(4, 30, seed=s) * tensor([[1e-9], [1.0], [1e3], [1e9]]) for s in range(3)],
        draw(3, 4).exp(),
    )
    answers, state = run(DBMTL(beta=0.5), jacobians, losses)
    b = state["b"]
    unit = b / b.norm(dim=1, keepdim=True)
    torch.testing.assert_close(answers[-1], b.norm(dim=1).max() * unit.sum(0), rtol=1e-10, atol=0)


# ExcessMTL


def twin_of_excess(jacobians, eta, eps=0.0):
    """The definition, step by step."""
    T = len(jacobians[0])
    squares, first, w, weights = torch.zeros_like(jacobians[0]), None, torch.ones(T, dtype=torch.float64), []
    for J in jacobians:
        squares = squares + J**2
        e = (J**2 / (squares + eps).sqrt()).sum(1)
        if first is None:
            first = e
        else:
            w = w * (eta * e / first).exp()
            w = T * w / w.sum()
        weights.append(w)
    return weights


def test_excess_mtl_is_its_definition_and_the_vector_is_that_with_the_codes_epsilon():
    v = vector("excess_mtl", "three_steps_sumT_eta1")
    jacobians = list(tensor(v["inputs"]["grads_per_step"]))
    found, _ = run(ExcessMTL(eta=1.0), jacobians)
    pairs = zip(found, twin_of_excess(jacobians, 1.0), twin_of_excess(jacobians, 1.0, 1e-7), strict=True)
    for (mine, exact, coded), step in zip(pairs, v["expected"]["steps"], strict=True):
        torch.testing.assert_close(mine, exact, rtol=1e-12, atol=0)
        near(coded, step["weights"], 1e-10)
        near(mine, step["weights"], 1e-5)


def test_excess_mtl_waits_for_a_gradient():
    J = draw(2, 5)
    still = torch.stack([J[0], 0 * J[1]])
    answers, state = run(ExcessMTL(eta=1.0), [still, J, J])
    near(answers[0], [1.0, 1.0])
    assert state["first"].isfinite().all()
    assert answers[2].isfinite().all()


# The trimmed mean


def test_trimmed_mean_vector():
    v = vector("trimmed_mean", "torchjd")
    near(weigh("trimmed_mean", jacobian=tensor(v["inputs"]["J"])), v["expected"]["update"], 1e-9)


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("trim", [0, 1, 2, 3])
def test_trimmed_mean_by_sorting(T, trim):
    J = draw(T, 40)
    k = min(trim, (T - 1) // 2)
    expected = J.sort(dim=0).values[k : T - k].mean(0)
    torch.testing.assert_close(
        weigh({"name": "trimmed_mean", "trim": trim}, jacobian=J), expected, rtol=1e-12, atol=1e-14
    )


# All of them


JACOBIAN = {
    "graddrop": GradDrop(),
    "moco": MoCo(),
    "db_mtl": DBMTL(),
    "excess_mtl": ExcessMTL(),
    "trimmed_mean": TrimmedMean(),
}
SCALE_OF_ONE_TASK = {"graddrop": 1.0, "moco": 0.1, "db_mtl": 0.1, "trimmed_mean": 1.0}
"""The first update for one task with loss 1, as a multiple of its gradient (running means start at zero)."""
SCALE_OF_EQUAL_TASKS = {"graddrop": 4.0, "moco": 0.1, "db_mtl": 0.4, "trimmed_mean": 1.0}
"""The same for four tasks with equal gradients: sums are four times as long, means are not."""


@pytest.mark.parametrize("name", list(SCALE_OF_ONE_TASK))
def test_scales_of_sums_and_means(name):
    g = draw(1, 9)
    for J, scale in ((g, SCALE_OF_ONE_TASK[name]), (g.expand(4, 9), SCALE_OF_EQUAL_TASKS[name])):
        torch.testing.assert_close(run(JACOBIAN[name], [J])[0][0], scale * g[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", list(JACOBIAN))
@pytest.mark.parametrize("size", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_gradients_give_finite_answers(name, size, dtype):
    g, h = draw(2, 6)
    kinds = {
        "zeros": torch.zeros(3, 6),
        "one zero": torch.stack([g, 0 * g, h]),
        "duplicates": torch.stack([g, g, h]),
        "opposite": torch.stack([g, -g]),
        "one task": g[None],
        "more tasks than parameters": draw(5, 2),
    }
    for kind, rows in kinds.items():
        J = (size * rows).to(dtype)
        answers, state = run(JACOBIAN[name], [J] * 3, torch.full((3, len(J)), size, dtype=dtype))
        assert all(given.isfinite().all() and given.dtype == dtype for given in answers), kind
        assert all(kept.isfinite().all() for key, kept in state.items() if key != "first"), kind
        if kind in ("zeros", "opposite") and isinstance(JACOBIAN[name], Combiner) and name != "graddrop":
            assert (answers[-1].abs() <= 1e-6 * J.abs().max()).all(), kind


@pytest.mark.parametrize("name", ["moco", "db_mtl", "excess_mtl"])
def test_memory_of_gradients_by_name(name):
    """A task that sits out a step keeps its rows, and the present ones are as if it had never been."""
    method, J = JACOBIAN[name], draw(3, 8)
    _, state = run(method, [J])
    kept = [0, 2]
    some = {key: rows[kept] for key, rows in state.items()}
    _, after = answer(method, evidence(J[kept]), some, RNG)
    assert all(rows.shape == state[key][kept].shape for key, rows in after.items())
    fresh = method.init(("late",), J[:1])
    joined = {key: torch.cat([state[key], fresh[key]]) for key in state}
    given, _ = answer(method, evidence(draw(4, 8)), joined, RNG)
    assert given.isfinite().all()


def test_sums_in_blocks_keep_their_digits():
    """Ten million float32 numbers of one sign, where a single product is off by 1e-3."""
    X = torch.rand(2, 10_000_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(blocks.lengths(X), X.double().norm(dim=1), rtol=1e-5, atol=0)
    torch.testing.assert_close(blocks.products(X, X[0]), X.double() @ X[0].double(), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"name": "graddrop", "leak": 1.5}, "leak"),
        ({"name": "moco", "beta": 0.0}, "beta"),
        ({"name": "moco", "gamma": -1.0}, "gamma"),
        ({"name": "moco", "rho": math.inf}, "rho"),
        ({"name": "db_mtl", "beta": 1.0}, "beta"),
        ({"name": "db_mtl", "sigma": -0.5}, "sigma"),
        ({"name": "excess_mtl", "eta": 0.0}, "eta"),
        ({"name": "trimmed_mean", "trim": -1}, "trim"),
    ],
)
def test_wrong_hyperparameters_name_their_key(config, key):
    with pytest.raises(ConfigError, match=key):
        METHODS.build(config)


def test_a_method_without_its_evidence_says_so():
    with pytest.raises(UserError, match="the Jacobian"):
        GradDrop().combine(Evidence(torch.ones(2)), {}, RNG)


def peer(name, *args, **fields):
    """An aggregator of torchjd, or a skip without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        aggregation = pytest.importorskip("torchjd.aggregation")
        return getattr(aggregation, name)(*args, **fields)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(3, 5), (5, 40), (8, 3)])
def test_parity_with_torchjd(shape, seed):
    J = draw(*shape, seed=seed)
    torch.testing.assert_close(weigh("trimmed_mean", jacobian=J), peer("TrimmedMean", 1)(J), rtol=1e-10, atol=1e-12)


def test_excess_mtl_parity_with_torchjd():
    """torchjd starts at 1/T, moves on the first call too, and adds 1e-7: the ratios of weights differ by that move."""
    jacobians = [draw(3, 20, seed=s) for s in range(4)]
    theirs = peer("ExcessMTLWeighting", robust_step_size=0.5)
    found = [theirs(J) for J in jacobians]
    mine, _ = run(ExcessMTL(eta=0.5), jacobians)
    first = found[0] / found[0].sum()
    for ours, other in zip(mine, found, strict=True):
        undone = other / first  # their first move is by exp(eta e(0)), raw
        torch.testing.assert_close(ours / ours.sum(), undone / undone.sum(), rtol=1e-5, atol=0)


def test_graddrop_parity_with_torchjd():
    """The same uniform numbers through their global generator."""
    J = draw(4, 60)
    U = torch.rand(60, generator=torch.Generator().manual_seed(7))
    aggregator = peer("GradDrop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *_, **__: U.double())
        expected = aggregator(J)
    torch.testing.assert_close(weigh("graddrop", jacobian=J, seed=7), expected, rtol=1e-10, atol=1e-12)
