"""Two losses with one valley of conflict: where do the methods end, and along which way?

    python examples/toy_landscape.py --steps 20000 --out toy.html

The landscape of the CAGrad paper (Liu et al., NeurIPS 2021), with its start points. The Pareto set is an arc from
(-7, -8.43) to (7, -8.43); the minimum of the mean loss is (0, -8.36). Where on it a way ends that has crossed a valley
hangs on rounding: starts that are 1e-12 apart end up to 0.9 apart with PCGrad. Prints where every method ends; with
altair installed and ``--out``, draws the trajectories.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from polytask.balancing import METHODS, Evidence, Need
from polytask.errors import MissingExtraError

STARTS = ((-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0))
NAMES = ("equal", "mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad", "dualproj", "fairgrad")


def losses(x: Tensor) -> Tensor:
    """``(2,) -> (2,)``: both losses at one point."""
    a, b = x
    up, down = torch.tanh(b / 2).clamp_min(0), torch.tanh(-b / 2).clamp_min(0)
    bowl = 0.1 * (-b - 8) ** 2
    first = (0.5 * (-a - 7) - torch.tanh(-b)).abs().clamp_min(5e-6).log() + 6
    second = (0.5 * (-a + 3) + torch.tanh(-b) + 2).abs().clamp_min(5e-6).log() + 6
    valleys = torch.stack([first, second])
    bowls = torch.stack([((-a + 7) ** 2 + bowl) / 10 - 20, ((-a - 7) ** 2 + bowl) / 10 - 20])
    return up * valleys + down * bowls


def descend(name: str, start: tuple[float, float], steps: int, lr: float = 1e-3, every: int = 200) -> list[list[float]]:
    """The way of one method from one start, by Adam: every 200th point, and the last."""
    method = METHODS.build(name)
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=lr)
    state = method.init(("first", "second"), torch.zeros(2, dtype=torch.float64))
    rng = torch.Generator().manual_seed(0)
    way = []
    for step in range(steps):
        values = losses(x)
        rows = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in values]
        J = torch.stack(rows)
        gramian = J @ J.T if method.needs >= Need.GRAMIAN else None
        weights, state = method.weigh(Evidence(values.detach(), gramian), state, rng)
        x.grad = weights @ J
        optimizer.step()
        if step % every == 0:
            way.append(x.tolist())
    return [*way, x.tolist()]


def draw(ways: dict[tuple[str, int], list[list[float]]], out: Path) -> None:
    try:
        import altair as alt
    except ImportError:
        raise MissingExtraError("altair", "report", "drawing trajectories") from None
    rows = [
        {"method": name, "start": str(STARTS[start]), "order": order, "x1": a, "x2": b}
        for (name, start), way in ways.items()
        for order, (a, b) in enumerate(way)
    ]
    lines = (
        alt.Chart(alt.InlineData(rows))
        .mark_line(opacity=0.8)
        .encode(x="x1:Q", y="x2:Q", color="start:N", order="order:Q")
    )
    lines.properties(width=180, height=180).facet("method:N", columns=5).save(str(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000, help="the paper takes 100000")
    parser.add_argument("--methods", nargs="*", default=list(NAMES))
    parser.add_argument("--out", type=Path, help="an HTML file for the trajectories (needs altair)")
    options = parser.parse_args()
    ways = {}
    for name in options.methods:
        for index, start in enumerate(STARTS):
            way = ways[name, index] = descend(name, start, options.steps)
            a, b = way[-1]
            mean = float(losses(torch.tensor(way[-1])).mean())
            print(f"{name:12s} from ({start[0]:5.1f}, {start[1]:5.1f}) to ({a:6.2f}, {b:6.2f})   mean loss {mean:7.3f}")
    if options.out:
        draw(ways, options.out)
        print(f"Drawn in {options.out}")


if __name__ == "__main__":
    main()
