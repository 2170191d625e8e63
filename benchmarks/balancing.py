"""Cost of a training step under gradient balancing, over one backward pass of the summed loss.

    python benchmarks/balancing.py --threads 1 --tasks 2 3 8 20
    python benchmarks/balancing.py --workloads mlp256 --tasks 8 --methods mgda upgrad nash_mtl
    python benchmarks/balancing.py --memory --tasks 8
    python benchmarks/balancing.py --part

A step is forward, losses and backward; the floor is the same with ``sum(losses).backward()``. All contenders run in one
process, in turn; a ratio is the median over rounds of the ratio within a round, with its quartiles. Time is that of
the process, so that neighbours on the machine disturb less. ``keep``, ``forget`` and ``sequential`` are the modes of
the engine; ``features``: gradients at the representation; ``every=10``: new weights each tenth step. torchjd (Quinton,
Rey 2024) is run in its two modes where it is installed. With ``--memory`` every contender runs in a process of its own
and the peak above that of the floor is printed.

``--part`` asks what weights from a random part of the rows are worth: cosine of the update to the exact one, over the
first 40 steps of training 8 regression tasks whose losses span two orders of magnitude; next to it the same for weights
from another full batch, the noise that every method lives with.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.balancing import METHODS, Balancer, weigh
from polytask.balancing.quiet import quiet

Step = Callable[[], object]


class Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.short = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norms[1](self.two(self.norms[0](self.one(x)).relu()))
        return functional.relu(inner + self.short(x))


class Attention(nn.Module):
    """A pre-norm transformer layer with attention written out."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        rows, length, width = x.shape
        shape = (rows, length, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(self.norms[0](x)).view(shape).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(x.shape))
        return x + self.down(functional.gelu(self.up(self.norms[1](x))))


class Pool(nn.Module):
    """The mean over tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def mlp() -> nn.Module:
    widths = [64, 512, 512, 512, 512]
    pairs = pairwise(widths)
    return nn.Sequential(*(m for i, o in pairs for m in (nn.Linear(i, o), nn.ReLU())))


def resnet() -> nn.Module:
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    shapes = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    return nn.Sequential(*stem, *(Block(*shape) for shape in shapes), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def transformer() -> nn.Module:
    return nn.Sequential(*(Attention(256) for _ in range(4)), nn.LayerNorm(256), Pool())


WORKLOADS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "tiny": (lambda: nn.Linear(4, 4), (8, 4), 4),
    "mlp256": (mlp, (256, 64), 512),
    "mlp16": (mlp, (16, 64), 512),
    "transformer4": (transformer, (4, 64, 256), 256),
    "transformer16": (transformer, (16, 64, 256), 256),
    "resnet32": (resnet, (32, 3, 32, 32), 128),
}


@dataclass
class Problem:
    """A trunk, T heads and a batch."""

    trunk: nn.Module
    heads: nn.ModuleList
    x: Tensor
    y: Tensor
    z: Tensor

    @classmethod
    def of(cls, workload: str, T: int) -> Problem:
        torch.manual_seed(0)
        make, shape, width = WORKLOADS[workload]
        heads = nn.ModuleList([nn.Linear(width, 10) for _ in range(T)])
        return cls(make(), heads, torch.randn(shape), torch.randint(10, (T, shape[0])), torch.empty(0))

    def losses(self) -> dict[str, Tensor]:
        for parameter in (*self.trunk.parameters(), *self.heads.parameters()):
            parameter.grad = None
        self.z = self.trunk(self.x)
        return {f"t{t}": functional.cross_entropy(head(self.z), self.y[t]) for t, head in enumerate(self.heads)}

    def part(self, share: float) -> dict[str, Tensor]:
        rows = torch.randperm(len(self.x))[: max(1, int(share * len(self.x)))]
        with quiet(self.trunk):
            z = self.trunk(self.x[rows])
        return {f"t{t}": functional.cross_entropy(head(z), self.y[t][rows]) for t, head in enumerate(self.heads)}


def floor(problem: Problem) -> Step:
    return lambda: sum(problem.losses().values()).backward()


def ours(problem: Problem, method: str, **options: object) -> Step:
    config = {"name": method, **({"main": ["t0"]} if method in ("gcs", "ol_aux") else {})}
    balancer = Balancer({**config, **({"method": "mgda"} if method == "cr_mogm" else {})}, **options)

    def step() -> None:
        losses = problem.losses()
        balancer.backward(losses, shared=problem.trunk.parameters(), features=problem.z)
        problem.z = torch.empty(0)

    return step


def ours_on_part(problem: Problem, share: float) -> Step:
    balancer = Balancer("mgda")

    def step() -> None:
        losses = problem.losses()
        balancer.backward(losses, shared=problem.trunk.parameters(), evidence=problem.part(share))

    return step


def theirs(problem: Problem, chunk: int | None) -> Step:
    """torchjd with UPGrad over the whole Jacobian."""
    from torchjd.aggregation import MGDA
    from torchjd.autojac import jac_to_grad, mtl_backward

    aggregator = MGDA()

    def step() -> None:
        losses = list(problem.losses().values())
        mtl_backward(losses, features=problem.z, parallel_chunk_size=chunk)
        jac_to_grad(list(problem.trunk.parameters()), aggregator)

    return step


def contenders(workload: str, T: int, methods: Sequence[str]) -> dict[str, Step]:
    problem = Problem.of(workload, T)
    steps = {"floor": floor(problem)}
    for mode in ("sequential", "keep", "forget", "auto"):
        steps[mode] = ours(problem, "mgda", engine=mode)
    steps["features"] = ours(problem, "mgda", on="features")
    steps["every=10"] = ours(problem, "mgda", every=10)
    steps["part=0.25"] = ours_on_part(problem, 0.25)
    steps["graddrop"] = ours(problem, "graddrop")
    steps["equal"] = ours(problem, "equal")
    for method in methods:
        steps[method] = ours(problem, method)
    if importlib.util.find_spec("torchjd") is not None:
        steps["torchjd"] = theirs(problem, None)
        steps["torchjd, one by one"] = theirs(problem, 1)
    return steps


def measure(steps: dict[str, Step], rounds: int) -> dict[str, np.ndarray]:
    """Ratios to the floor, ``(rounds,)`` each."""
    for step in steps.values():
        step()
    for name, step in steps.items():
        if name.startswith("every"):
            continue
        step()
        step()  # the engine checks itself in the steps 1, 2, 4, ...: the third is an ordinary one
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            repeats = 10 if name.startswith("every") else 1
            start = time.process_time()
            for _ in range(repeats):
                step()
            times[name].append((time.process_time() - start) / repeats)
    base = np.array(times["floor"])
    return {name: np.array(found) / base for name, found in times.items()}


def peak(workload: str, T: int, name: str) -> float:
    """MB at the peak of a process that runs one contender; libraries are loaded before, by small batches."""
    for warm in contenders("tiny", 2, ()).values():
        warm()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = contenders(workload, T, ())[name]
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def memory(workload: str, T: int, methods: Sequence[str], only: Sequence[str] | None) -> None:
    names = [name for name in contenders(workload, T, methods) if not only or name in {"floor", *only}]
    found = {}
    for name in names:
        call = [sys.executable, __file__, "--peak", workload, str(T), name]
        found[name] = float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
    for name in names[1:]:
        print(f"{workload:14} T={T:<3} {name:22} {found[name] - found['floor']:8.1f} MB above the floor", flush=True)


def jacobian(trunk: nn.Module, heads: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    losses = (heads(trunk(x)) - y).square().mean(0) * torch.logspace(-1, 1, y.shape[1])
    rows = [torch.autograd.grad(loss, list(trunk.parameters()), retain_graph=True) for loss in losses]
    return losses.detach(), torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def part(methods: Sequence[str], steps: int = 40, T: int = 8, N: int = 256) -> None:
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, T))
    trunk = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
    heads = nn.Linear(128, T)
    optimizer = torch.optim.Adam([*trunk.parameters(), *heads.parameters()], lr=1e-3)
    found: dict[tuple[str, str], list[float]] = {}

    def draw() -> tuple[Tensor, Tensor]:
        x = torch.randn(N, 32)
        return x, teacher(x).detach() + 0.3 * torch.randn(N, T)

    for _ in range(steps):
        (x, y), (fresh_x, fresh_y) = draw(), draw()
        sources = {"fresh batch": (fresh_x, fresh_y)}
        for r in (0.1, 0.25, 0.5):
            rows = torch.randperm(N)[: int(r * N)]
            sources[f"r = {r}"] = (x[rows], y[rows])
        losses, J = jacobian(trunk, heads, x, y)
        evidence = {name: jacobian(trunk, heads, *source) for name, source in sources.items()}
        for method in methods:
            exact = weigh(method, losses=losses, gramian=J.double() @ J.double().T).to(J) @ J
            for name, (own, rows) in evidence.items():
                weights = weigh(method, losses=own, gramian=rows.double() @ rows.double().T)
                cosine = float(functional.cosine_similarity(weights.to(J) @ J, exact, 0))
                found.setdefault((method, name), []).append(cosine)
        optimizer.zero_grad()
        ((heads(trunk(x)) - y).square().mean(0) * torch.logspace(-1, 1, T)).sum().backward()
        optimizer.step()
    names = ["r = 0.1", "r = 0.25", "r = 0.5", "fresh batch"]
    print("| method | " + " | ".join(names) + " |\n|" + "---|" * 5)
    for method in methods:
        print(f"| `{method}` | " + " | ".join(f"{np.median(found[method, name]):.3f}" for name in names) + " |")


GRAMIAN = ("mgda", "pcgrad", "gradvac", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "fairgrad", "upgrad", "dualproj")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workloads", nargs="+", default=["mlp256", "mlp16", "transformer4", "resnet32"])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 3, 8, 20])
    parser.add_argument("--methods", nargs="*", default=[], choices=list(METHODS))
    parser.add_argument("--only", nargs="*", help="these contenders alone")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--part", action="store_true", help="cosines of updates with weights from a part of the rows")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        workload, T, name = arguments.peak
        print(peak(workload, int(T), name))
        return
    if arguments.part:
        part(arguments.methods or GRAMIAN)
        return
    for workload in arguments.workloads:
        for T in arguments.tasks:
            if arguments.memory:
                memory(workload, T, arguments.methods, arguments.only)
                continue
            steps = contenders(workload, T, arguments.methods)
            chosen = {k: v for k, v in steps.items() if not arguments.only or k in {"floor", *arguments.only}}
            for name, ratios in measure(chosen, arguments.rounds).items():
                low, middle, high = np.percentile(ratios, [25, 50, 75])
                print(f"{workload:14} T={T:<3} {name:22} {middle:6.2f}   ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
