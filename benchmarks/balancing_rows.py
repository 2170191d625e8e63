"""What balancing weights from a random part of the rows are worth.

    python benchmarks/balancing_rows.py

Cosine of the update with such weights to the update with exact ones: median over the first 40 steps of training 8
regression tasks whose losses span two orders of magnitude, batch 256. The last column is the noise that every method
lives with: weights from another full batch.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.balancing import METHODS, Evidence, Need
from polytask.balancing.one_shot import answer

CONFIGS = {"gcs": {"main": ["0"]}, "ol_aux": {"main": ["0"]}, "cr_mogm": {"method": "mgda"}}


def jacobian(trunk: nn.Module, heads: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    losses = (heads(trunk(x)) - y).square().mean(0) * torch.logspace(-1, 1, y.shape[1])
    rows = [torch.autograd.grad(loss, list(trunk.parameters()), retain_graph=True) for loss in losses]
    return losses.detach(), torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


RIGHT = "all rows"
NAMES = ("r = 0.1", "r = 0.25", "r = 0.5", "fresh batch")


class Chains:
    """One method, run side by side on exact evidence and on each kind of partial evidence, with its memory."""

    def __init__(self, name: str, T: int) -> None:
        self.method = METHODS.build({"name": name, **CONFIGS.get(name, {})})
        tasks = tuple(map(str, range(T)))
        self.states = {source: self.method.init(tasks, torch.ones(T)) for source in (RIGHT, *NAMES)}
        self.cosines: dict[str, list[float]] = {source: [] for source in NAMES}

    def look(self, evidence: dict[str, tuple[Tensor, Tensor]], step: int) -> None:
        """The same step for all; ``evidence``: losses and Jacobian by kind."""
        J = evidence[RIGHT][1]
        updates = {}
        for source, (losses, rows) in evidence.items():
            seen = Evidence(losses, rows.double() @ rows.double().T)
            rng = torch.Generator().manual_seed(step)
            weights, self.states[source] = answer(self.method, seen, self.states[source], rng)
            updates[source] = weights.to(J) @ J
        for source in NAMES:
            self.cosines[source].append(float(functional.cosine_similarity(updates[source], updates[RIGHT], 0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    T, N = 8, 256
    torch.manual_seed(options.seed)
    teacher = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, T))
    trunk = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    heads = nn.Linear(128, T)
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=1e-3)
    gramian = [name for name in METHODS if METHODS.find(name).needs is Need.GRAMIAN or name == "cr_mogm"]
    chains = {name: Chains(name, T) for name in gramian}

    def draw() -> tuple[Tensor, Tensor]:
        x = torch.randn(N, 32)
        return x, teacher(x).detach() + 0.3 * torch.randn(N, T)

    for step in range(options.steps):
        x, y = draw()
        sources = {RIGHT: (x, y), "fresh batch": draw()}
        for share in (0.1, 0.25, 0.5):
            rows = torch.randperm(N)[: int(share * N)]
            sources[f"r = {share:g}"] = (x[rows], y[rows])
        evidence = {source: jacobian(trunk, heads, *batch) for source, batch in sources.items()}
        for chain in chains.values():
            chain.look(evidence, step)
        optimizer.zero_grad()
        ((heads(trunk(x)) - y).square().mean(0) * torch.logspace(-1, 1, T)).sum().backward()
        optimizer.step()
    print("| method | " + " | ".join(NAMES) + " |\n|" + "---|" * 5)
    for name, chain in chains.items():
        print(f"| `{name}` | " + " | ".join(f"{np.median(chain.cosines[source]):.3f}" for source in NAMES) + " |")


if __name__ == "__main__":
    main()
