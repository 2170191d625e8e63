"""The bargaining solution, against closed forms and the condition itself."""

from __future__ import annotations

import numpy as np
import pytest

from polytask.maths.bargaining import bargain, bargain_residual


def cosines(n, P, seed, common=0.0):
    rng = np.random.default_rng(seed)
    J = rng.normal(size=(n, P)) + common
    J /= np.linalg.norm(J, axis=1, keepdims=True)
    return J @ J.T


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("n", [1, 2, 8, 40])
def test_the_condition_holds(alpha, n):
    C = cosines(n, 3 * n + 1, 0)
    rho = np.random.default_rng(1).uniform(0.01, 100, n)
    s = bargain(C, rho, alpha)
    assert (s > 0).all()
    np.testing.assert_allclose(C @ s, rho * (s / rho) ** (-1 / alpha), rtol=1e-9)
    assert bargain_residual(C, rho, alpha, s) < 1e-9


@pytest.mark.parametrize("cosine", [-0.999, -0.5, 0.0, 0.5, 1.0])
def test_two_vectors_have_a_closed_form(cosine):
    C = np.array([[1.0, cosine], [cosine, 1.0]])
    np.testing.assert_allclose(bargain(C, np.ones(2)), 1 / np.sqrt(1 + cosine), rtol=1e-12)


def test_orthogonal_vectors_get_rho():
    rho = np.array([0.1, 2.0, 30.0])
    for alpha in (0.5, 1.0, 3.0):
        np.testing.assert_allclose(bargain(np.eye(3), rho, alpha), rho, rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_vectors_that_cancel_get_large_parts_that_cancel(alpha):
    C = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    s = bargain(C, np.ones(3), alpha)
    assert np.isfinite(s).all()
    np.testing.assert_allclose(s[0], s[1], rtol=1e-9)
    np.testing.assert_allclose(s[2], 1.0, rtol=1e-5)  # who cancels nobody bargains alone
    np.testing.assert_allclose(C @ s, [0, 0, 1], atol=1e-5)
