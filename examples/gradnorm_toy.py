"""Two tasks of one shape in different units: what gradient normalisation does about it, and what fixed units do.

    python examples/gradnorm_toy.py --steps 4000

The regression of the GradNorm paper (Chen et al., ICML 2018): ``f_i(x) = s_i tanh((B + E_i) x)`` with 250 inputs, 100
outputs and the scales 1 and 100; a trunk of four layers, a linear head per task. Printed is the test error of each task
over that of predicting 0. For squared losses the gradients are 10000 times apart: weights that are learned have a long
way to go, losses in units of the first loss are there at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from polytask import Balancer

SCALES = (1.0, 100.0)
NAMES = ("small", "large")
WAYS = ("equal", "units", "gradnorm")


class Regression:
    """The two functions, and batches of inputs of length 1."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        common = 10.0 * self._normal(100, 250)
        self.maps = [common + 3.5 * self._normal(100, 250) for _ in SCALES]

    def batch(self, rows: int) -> tuple[Tensor, list[Tensor]]:
        x = torch.rand(rows, 250, generator=self.rng) * 2 - 1
        x = x / x.norm(dim=1, keepdim=True)
        return x, [scale * torch.tanh(x @ B.T) for scale, B in zip(SCALES, self.maps, strict=True)]

    def batches(self, steps: int) -> Iterator[tuple[Tensor, list[Tensor]]]:
        for _ in range(steps):
            yield self.batch(256)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.rng)


def train(way: str, steps: int, seed: int) -> list[float]:
    """Test error over that of predicting 0, by task."""
    problem = Regression(seed)
    torch.manual_seed(seed)
    layers = [nn.Linear(250, 100), *(nn.Linear(100, 100) for _ in range(3))]
    trunk = nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())))
    heads = nn.ModuleList([nn.Linear(100, 100) for _ in SCALES])
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=1e-3)
    gradnorm = way == "gradnorm"
    balancer = Balancer({"name": "gradnorm", "alpha": 0.12, "lr": 0.025} if gradnorm else "equal")
    units: list[float] = [1.0, 1.0]
    for step, (x, targets) in enumerate(problem.batches(steps)):
        z = trunk(x)
        errors = [(head(z) - y).square().mean() for head, y in zip(heads, targets, strict=True)]
        if step == 0 and way == "units":
            units = [error.item() for error in errors]
        losses = {name: error / unit for name, error, unit in zip(NAMES, errors, units, strict=True)}
        optimizer.zero_grad()
        weights = balancer.backward(losses, shared=[layers[-1].weight]).weights
        if gradnorm:  # its weights serve the whole network; lengths were taken at the last shared layer alone
            optimizer.zero_grad()
            z = trunk(x)
            errors = [(head(z) - y).square().mean() for head, y in zip(heads, targets, strict=True)]
            sum(weights[name] * error for name, error in zip(NAMES, errors, strict=True)).backward()
        optimizer.step()
    x, targets = problem.batch(4096)
    with torch.no_grad():
        z = trunk(x)
        return [float((h(z) - y).square().mean() / y.square().mean()) for h, y in zip(heads, targets, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for way in WAYS:
        for seed in range(options.seeds):
            errors = train(way, options.steps, seed)
            print(f"{way:9s} seed {seed}   {errors[0]:.3f} + {errors[1]:.3f} = {sum(errors):.3f}", flush=True)


if __name__ == "__main__":
    main()
