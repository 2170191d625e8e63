"""Matrix products by oneDNN are products, whatever the strides, and are left alone where they cannot be had."""

from __future__ import annotations

import pytest
import torch

from polytask.balancing.engine import multiply as room
from polytask.balancing.engine.multiply import FASTER, LARGE, multiply, onednn_share, speed


@pytest.fixture(params=["onednn", "@"])
def library(request, monkeypatch):
    monkeypatch.setattr(room, "onednn_share", lambda: 0.5 if request.param == "onednn" else 1.0)
    monkeypatch.setattr(room, "LARGE", 1)
    monkeypatch.setattr(room, "LEAST", (1, 1))
    return request.param


def matrices():
    torch.manual_seed(0)
    plain = torch.randn(60, 80), torch.randn(80, 50)
    yield "plain", *plain
    yield "turned", torch.randn(80, 60).t(), torch.randn(50, 80).t()
    yield "slices", torch.randn(60, 200)[:, 20:100], torch.randn(80, 90)[:, ::2]
    yield "expanded", torch.randn(1, 80).expand(60, 80), torch.randn(80, 1).expand(80, 50)
    yield "one row", torch.randn(1, 80), torch.randn(80, 1)
    yield "no row", torch.randn(0, 80), torch.randn(80, 5)
    yield "nothing to add", torch.randn(3, 0), torch.randn(0, 5)
    yield "float64", plain[0].double(), plain[1].double()
    yield "bfloat16", plain[0].bfloat16(), plain[1].bfloat16()


CASES = list(matrices())


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
@pytest.mark.parametrize(("name", "X", "Y"), CASES, ids=[name for name, *_ in CASES])
def test_a_product_is_a_product(library, name, X, Y):
    right = X.double() @ Y.double()
    found = multiply(X, Y)
    assert found.dtype == X.dtype
    assert not found.requires_grad
    room_for_rounding = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.5}[X.dtype]
    torch.testing.assert_close(found.double(), right, rtol=0, atol=room_for_rounding)


def test_what_is_not_finite_stays_so(library):
    X = torch.ones(4, 4)
    X[1, 2] = torch.nan
    X[2, 0] = torch.inf
    found = multiply(X, torch.ones(4, 3))
    assert found.isnan().any(1).tolist() == [False, True, False, False]
    assert found.isinf().any(1).tolist() == [False, False, True, False]


def test_without_onednn_there_is_one_library(monkeypatch):
    def missing(X, Y):
        raise AttributeError("no such operator")

    onednn_share.cache_clear()
    monkeypatch.setattr(room, "_by_onednn", missing)
    try:
        assert onednn_share() == 1.0
        assert speed(torch.device("cpu")) == 1.0
        X = torch.randn(300, 300)
        assert LARGE < 300**3
        assert torch.equal(multiply(X, X), X @ X)
    finally:
        onednn_share.cache_clear()


def test_a_wrong_product_is_not_trusted(monkeypatch):
    onednn_share.cache_clear()
    monkeypatch.setattr(room, "_by_onednn", lambda X, Y: X @ Y * 1.01)
    try:
        assert onednn_share() == 1.0
    finally:
        onednn_share.cache_clear()


def test_speed_is_that_of_the_library_in_use():
    share = onednn_share()
    assert speed(torch.device("cpu")) == (share if share < FASTER else 1.0)
    assert speed(torch.device("meta")) == 1.0
