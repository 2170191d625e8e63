"""Adam as a pure function against torch.optim.Adam."""

from __future__ import annotations

import pytest
import torch

from polytask.maths.adam import adam


@pytest.mark.parametrize(("dtype", "tol"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
def test_agrees_with_torch(dtype, tol):
    rng = torch.Generator().manual_seed(0)
    slopes = torch.randn(300, 4, generator=rng, dtype=dtype) * torch.tensor([1.0, 1e-6, 1e4, 0.0], dtype=dtype)
    theirs = torch.zeros(4, dtype=dtype, requires_grad=True)
    optimizer = torch.optim.Adam([theirs], lr=0.01, betas=(0.8, 0.99))
    ours, moments = torch.zeros(4, dtype=dtype), (torch.zeros(4, dtype=dtype),) * 3
    for slope in slopes:
        theirs.grad = slope.clone()
        optimizer.step()
        ours, moments = adam(ours, slope, moments, lr=0.01, betas=(0.8, 0.99))
    torch.testing.assert_close(ours, theirs.detach(), rtol=tol, atol=tol)


def test_first_step_has_the_length_lr():
    zeros = torch.zeros(3, dtype=torch.float64)
    value, _ = adam(zeros, torch.tensor([5.0, -0.1, 1e3], dtype=torch.float64), (zeros, zeros, zeros), lr=0.01)
    torch.testing.assert_close(value, torch.tensor([-0.01, 0.01, -0.01], dtype=torch.float64), rtol=1e-6, atol=0)


def test_arguments_are_left_alone():
    x, g = torch.ones(2), torch.ones(2)
    moments = (torch.ones(2), torch.ones(2), torch.ones(2))
    adam(x, g, moments, lr=0.1)
    for tensor in (x, g, *moments):
        assert torch.equal(tensor, torch.ones(2))
