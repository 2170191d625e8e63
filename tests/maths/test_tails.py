"""The tail of a Student t plus a normal, against closed forms, scipy and quadrature over the other variable."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from polytask.maths.holm import holm
from polytask.maths.tails import quantile, two_sided_p

VECTORS = json.loads((Path(__file__).parent.parent / "evaluation" / "verdict_vectors.json").read_text())


def over_the_normal(x: float, Vs: float, Vr: float, nu: float) -> float:
    """The same probability as an integral over Z of the t tail (the product integrates over t)."""

    def density(z: float) -> float:
        return float(stats.norm.pdf(z) * stats.t.sf((x - np.sqrt(Vr) * z) / np.sqrt(Vs), nu))

    pieces = [-12, -8, -4, -1, 0, 1, 4, 8, 12]
    step = x / np.sqrt(Vr)
    if -12 < step < 12:
        pieces = sorted({*pieces, step})
    ends = itertools.pairwise(pieces)
    return 2 * sum(integrate.quad(density, a, b, epsabs=1e-14, epsrel=1e-12, limit=200)[0] for a, b in ends)


@pytest.mark.parametrize("vector", VECTORS["tails"])
def test_tail_vectors(vector: dict[str, float]) -> None:
    got = two_sided_p(vector["x"], vector["Vs"], vector["Vr"], vector["nu"])
    assert got == pytest.approx(vector["p"], rel=1e-11)


@pytest.mark.parametrize("nu", [1, 2, 4, 8, 22, 300])
@pytest.mark.parametrize("ratio", [1e-4, 1e-2, 0.3, 1, 30, 1000])
@pytest.mark.parametrize("x", [0.2, 2.0, 4.0])
def test_agrees_with_quadrature_over_the_normal(nu: int, ratio: float, x: float) -> None:
    Vs, Vr = 1 / (1 + ratio), ratio / (1 + ratio)
    assert two_sided_p(x, Vs, Vr, nu) == pytest.approx(over_the_normal(x, Vs, Vr, nu), rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("nu", [1, 2, 3.5, 4, 18, 1000, 1e5])
def test_without_row_variance_it_is_student(nu: float) -> None:
    x = np.array([0.0, 0.1, 1.0, 2.5, 6.0])
    np.testing.assert_allclose(two_sided_p(x, 4.0, 0.0, nu), 2 * stats.t.sf(x / 2, nu), rtol=1e-8)


def test_without_seed_variance_it_is_normal() -> None:
    x = np.array([0.0, 0.1, 1.0, 2.5, 6.0, 30.0])
    np.testing.assert_allclose(two_sided_p(x, 0.0, 4.0, 4), 2 * stats.norm.sf(x / 2), rtol=1e-10)


@pytest.mark.parametrize("tiny", [1e-5, 1e-7, 1e-9, 1e-14])
def test_the_limits_are_reached_smoothly(tiny: float) -> None:
    """Near a limit the p-value is that of the limit to first order in the vanishing variance."""
    assert two_sided_p(3.0, 1.0, tiny, 4) == pytest.approx(2 * stats.t.sf(3.0, 4), rel=3 * tiny + 1e-9)
    assert two_sided_p(3.0, tiny, 1.0, 4) == pytest.approx(2 * stats.norm.sf(3.0), rel=10 * tiny + 1e-9)


def test_without_any_variance_only_zero_is_likely() -> None:
    assert two_sided_p([0.0, 1e-300, -5.0], 0.0, 0.0, 4).tolist() == [1.0, 0.0, 0.0]
    assert quantile(0.05, 0.0, 0.0, 4) == 0.0


@given(
    x=st.floats(0, 50),
    log_vs=st.floats(-12, 2),
    log_vr=st.floats(-12, 2),
    nu=st.integers(1, 40),
    scale=st.sampled_from([1e-100, 1e-10, 1e10, 1e100]),
)
@settings(max_examples=60, deadline=None)
def test_laws(x: float, log_vs: float, log_vr: float, nu: int, scale: float) -> None:
    Vs, Vr = 10**log_vs, 10**log_vr
    p = two_sided_p(x, Vs, Vr, nu)
    assert 0 <= p <= 1
    assert two_sided_p(-x, Vs, Vr, nu) == p
    assert two_sided_p(x * scale, Vs * scale**2, Vr * scale**2, nu) == pytest.approx(p, rel=1e-6, abs=1e-12)
    assert two_sided_p(1.1 * x + 0.1, Vs, Vr, nu) <= p + 1e-8


@pytest.mark.parametrize("p", [0.5, 0.05, 0.05 / 9, 1e-6])
def test_quantile_is_the_inverse(p: float) -> None:
    Vs, Vr = np.array([1.0, 1e-8, 1.0, 3e6, 0.0]), np.array([1.0, 1.0, 1e-8, 1e6, 2.0])
    q = quantile(p, Vs, Vr, 4)
    np.testing.assert_allclose(two_sided_p(q, Vs, Vr, 4), p, rtol=1e-9)


def test_quantile_against_tables() -> None:
    levels, df = [0.05, 0.01, 0.2], [4, 9, 1]
    expected = [stats.t.isf(level / 2, nu) for level, nu in zip(levels, df, strict=True)]
    np.testing.assert_allclose(quantile(levels, 1.0, 0.0, df), expected, rtol=1e-9)
    assert quantile(0.05, 0.0, 1.0, 7) == pytest.approx(1.959963984540054, rel=1e-12)


def test_shapes_broadcast() -> None:
    p = two_sided_p(np.ones((3, 1)), np.ones(4), 1.0, 5)
    assert p.shape == (3, 4)
    assert np.ptp(p) == 0
    assert two_sided_p(np.empty((0, 2)), 1.0, 1.0, 3).shape == (0, 2)


def test_many_at_once_equal_one_by_one() -> None:
    rng = np.random.default_rng(0)
    x, Vs, Vr = rng.exponential(size=(3, 6000))
    together = two_sided_p(x, Vs, Vr, 4)
    for i in (0, 2620, 2621, 2622, 5999):
        assert two_sided_p(x[i], Vs[i], Vr[i], 4) == pytest.approx(together[i], rel=1e-12)


@pytest.mark.parametrize("vector", VECTORS["holm"])
def test_holm_vectors(vector: dict[str, list[float]]) -> None:
    np.testing.assert_allclose(holm(vector["p"]), vector["holm"], rtol=1e-12)


def test_holm_by_hand() -> None:
    """Sorted .01 .02 .03: 3 * .01 = .03, 2 * .02 = .04, then .03 raised to .04 because steps never fall."""
    np.testing.assert_allclose(holm([0.03, 0.01, 0.02]), [0.04, 0.03, 0.04])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    np.testing.assert_allclose(holm([[0.04], [0.2]]), [[0.04], [0.2]])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_holm_laws(p: list[float], seed: int) -> None:
    corrected = holm(p)
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()  # never worse than Bonferroni
    order = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_array_equal(holm(np.array(p)[order]), corrected[order])
