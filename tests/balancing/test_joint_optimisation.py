"""Learned weights in closed form equal one torch.optim.Adam over model and weights, differentiated by autograd."""

from __future__ import annotations

import pytest
import torch

from polytask.balancing import Balancer

STEPS = 60


def totals(name, s, losses):
    if name == "uncertainty":
        return (0.5 * (-s).exp() * losses + 0.5 * s).sum()
    if name == "classification":
        return ((-s).exp() * losses + 0.5 * s).sum()
    if name == "revised_uncertainty":
        return (0.5 * (-s).exp() * losses + (1 + s.exp()).log()).sum()
    return (s.exp() * losses - s).sum()


def toy():
    rng = torch.Generator().manual_seed(3)
    X = torch.randn(32, 5, generator=rng, dtype=torch.float64)
    y = torch.randn(32, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)
    W = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    return W, lambda: ((X @ W - y) ** 2).mean(0)


def present(step):
    return [0, 1, 2] if step % 3 else [0, 2]  # the second task is absent from every third batch


def jointly(name, lr):
    W, losses = toy()
    s = [torch.zeros((), dtype=torch.float64, requires_grad=True) for _ in range(3)]
    optimizer = torch.optim.Adam([{"params": [W], "lr": 0.03}, {"params": s, "lr": lr, "weight_decay": 0.0}])
    for step in range(STEPS):
        rows = present(step)
        optimizer.zero_grad(set_to_none=True)
        totals(name, torch.stack([s[row] for row in rows]), losses()[rows]).backward()
        optimizer.step()
    return W.detach(), torch.stack(s).detach()


def with_balancer(name, lr):
    W, losses = toy()
    method = {"name": "uncertainty", "form": "classification"} if name == "classification" else {"name": name}
    balancer = Balancer({**method, "lr": lr})
    optimizer = torch.optim.Adam([W], lr=0.03)
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        values = losses()
        balancer.backward({f"task{row}": values[row] for row in present(step)})
        optimizer.step()
    state = balancer.state_dict()
    order = [state["meta"]["tasks"].index(f"task{row}") for row in range(3)]
    return W.detach(), state["tensors"]["method.s"][order]


@pytest.mark.parametrize("name", ["uncertainty", "classification", "revised_uncertainty", "imtl_l"])
def test_same_model_and_same_s(name):
    W, s = with_balancer(name, lr=0.02)
    W_joint, s_joint = jointly(name, lr=0.02)
    torch.testing.assert_close(W, W_joint, rtol=0, atol=1e-10)
    torch.testing.assert_close(s, s_joint, rtol=0, atol=1e-10)
    assert s_joint.abs().min() > 0.05  # s has really moved
