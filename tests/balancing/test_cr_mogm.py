"""CR-MOGM: weights of another method, smoothed; and a variant inside a variant, from configuration and back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

from polytask.balancing import METHODS, Balancer, Evidence, Need, check_method
from polytask.balancing.methods.cr_mogm import CRMOGM
from polytask.balancing.methods.graddrop import GradDrop
from polytask.balancing.methods.imtl_l import IMTLL
from polytask.balancing.methods.rlw import RLW
from polytask.errors import ConfigError, UnknownNameError, UserError

NAMES = tuple("abcdefgh")
RNG = torch.Generator()


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


def test_cr_mogm_vector():
    v = json.loads((Path(__file__).parent / "more_vectors.json").read_text())["cr_mogm"][0]
    state = {"w": tensor(v["inputs"]["init"])}
    for weights, expected in zip(v["inputs"]["weights_sequence"], v["expected"]["smoothed"], strict=True):
        fixed = METHODS.build({"name": "fixed", "weights": dict(zip("ab", weights, strict=True))})
        method = CRMOGM(fixed, alpha=v["inputs"]["alpha"])
        inner = {key: rows for key, rows in method.init(("a", "b"), state["w"]).items() if key != "w"}
        w, state = method.weigh(Evidence(tensor([1.0, 1.0])), {**state, **inner}, RNG)
        near(w, expected)


def test_cr_mogm_smooths_what_the_method_inside_answers():
    plain, smooth = RLW(), CRMOGM(RLW(), alpha=0.5)
    losses = tensor([1.0] * 3)
    state, mean = smooth.init(NAMES[:3], losses), None
    rngs = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for _ in range(4):
        v, _ = plain.weigh(Evidence(losses), {}, rngs[0])
        mean = v if mean is None else 0.5 * mean + 0.5 * v
        w, state = smooth.weigh(Evidence(losses), state, rngs[1])
        torch.testing.assert_close(w, mean, rtol=1e-12, atol=0)


def test_cr_mogm_is_configured_by_name_and_back():
    method = METHODS.build({"name": "cr_mogm", "method": {"name": "imtl_l", "lr": 0.5}, "alpha": 0.8})
    assert method == CRMOGM(IMTLL(lr=0.5), alpha=0.8)
    config = METHODS.config(method)
    assert config == {"name": "cr_mogm", "method": {"name": "imtl_l", "lr": 0.5}, "alpha": 0.8}
    assert METHODS.build(json.loads(json.dumps(config))) == method
    nested = METHODS.build({"name": "cr_mogm", "method": {"name": "cr_mogm", "method": "famo"}})
    assert METHODS.build(METHODS.config(nested)) == nested
    assert set(nested.init(("a",), tensor([1.0]))) >= {"w", "inner.w", "inner.inner.s"}


def test_cr_mogm_has_the_facts_of_the_method_inside():
    method = METHODS.build({"name": "cr_mogm", "method": "famo"})
    assert (method.needs, method.domain, method.looks_back) == (Need.LOSSES, "positive", True)
    assert METHODS.build({"name": "cr_mogm", "method": "mgda"}).needs is Need.GRAMIAN
    assert METHODS.build({"name": "cr_mogm", "method": "excess_mtl"}).needs is Need.JACOBIAN
    assert METHODS.build({"name": "cr_mogm", "method": {"name": "gcs", "main": ["a"]}}).mentions() == {"a"}


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ("graddrop", "method: expected a method that answers with weights, found GradDrop"),
        ({"name": "dwa", "tau": "x"}, "balancer.method.tau"),
        ({"name": "dwa", "tua": 1.0}, "balancer.method: unknown key 'tua'"),
        (3, "balancer.method: expected a name"),
    ],
)
def test_cr_mogm_says_what_is_wrong_inside(inner, says):
    with pytest.raises(UserError) as caught:
        METHODS.build({"name": "cr_mogm", "method": inner})
    assert says in str(caught.value)


def test_cr_mogm_needs_a_method_that_is_known():
    with pytest.raises(ConfigError, match="method"):
        METHODS.build("cr_mogm")
    with pytest.raises(UnknownNameError, match=r"balancer.method: 'mdga'.*\n.*'mgda'"):
        METHODS.build({"name": "cr_mogm", "method": "mdga"})
    with pytest.raises(ConfigError, match="alpha"):
        METHODS.build({"name": "cr_mogm", "method": "equal", "alpha": 1.0})
    with pytest.raises(ConfigError, match="found GradDrop"):
        CRMOGM(GradDrop())


@pytest.mark.parametrize("inner", ["dwa", "famo", "gradnorm", "gradvac", "excess_mtl", {"name": "gcs", "main": ["a"]}])
def test_cr_mogm_obeys_the_contract_around_any_method(inner):
    check_method({"name": "cr_mogm", "method": inner})


def test_cr_mogm_parity_with_torchjd():
    smooth = CRMOGM(METHODS.build("pcgrad"), alpha=0.7)
    theirs = peer("CRMOGMWeighting", peer("PCGradWeighting"), alpha=0.7)
    state = smooth.init(NAMES[:2], tensor([1.0]))
    for step in range(4):
        J = draw(2, 6, seed=step)  # two tasks: PCGrad has no order to draw
        w, state = smooth.weigh(evidence(J), state, RNG)
        torch.testing.assert_close(w, theirs(J @ J.T), rtol=1e-9, atol=1e-12)


def test_a_balancer_keeps_the_memory_of_the_method_inside():
    config = {"name": "cr_mogm", "method": {"name": "imtl_l", "lr": 0.1}}
    one, two = Balancer(config), Balancer(config)

    def step(balancer, k):
        trunk = draw(3, seed=k).requires_grad_()
        losses = {name: (trunk * draw(3, seed=10 * k + t)).square().sum() for t, name in enumerate("abc"[: 1 + k % 3])}
        return balancer.backward(losses, shared=[trunk]).weight_values

    for k in range(5):
        step(one, k)
    two.load_state_dict(one.state_dict())
    for k in range(5, 9):
        assert torch.equal(step(one, k), step(two, k))
