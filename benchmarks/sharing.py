"""Time of one training step of every way of sharing, over hard sharing, and over the same with a loop over copies.

    python benchmarks/sharing.py --threads 1
    python benchmarks/sharing.py --width 512 --depth 4 --device cuda --ways mmoe

A step is forward, losses, penalty, backward and AdamW on one batch: an MLP on 32 numeric features, T binary tasks, a
fifth of the labels missing. "over hard" is the ratio to hard sharing with as many tasks, "loop" the time of the same
model with its stacked copies (trunks, experts, towers) run one after another, over its own time: above 1 the stack is
faster. All contenders run in one process, in turn; times are medians over rounds, ratios medians (with quartiles) of
the ratios within a round.

The last lines are about a mixture of 8 experts at T = 8, by rows in a batch: against one dense trunk that is 8 times as
wide; against the same with a loop over its experts; against a mixture written by hand in plain PyTorch, with loops over
experts, gates, heads and losses, under the same fused AdamW and under AdamW as it comes; and against the least time
that its matrix products can take on this machine. "most": what any way of writing it could gain over the loop by hand
with fused AdamW.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from unittest import mock

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Features, Inputs, InputSpec, Targets
from polytask.nets import stacked
from polytask.nets.encoders.mlp import MLP
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING
from polytask.nets.sharing.hard import Hard
from polytask.nets.sharing.mmoe import MMoE
from polytask.nets.sharing.sharing import Sharing
from polytask.tasks.binary import Binary

COLUMNS = 32
WITHOUT_PENALTY = {"soft": {"weight": 0.0}}
"""A penalty on stacked weights cannot be told on a list of copies; both sides of the comparison go without it."""


class Loop(nn.Module):
    """The copies of a stack, one after another: the usual way."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(copy.deepcopy(module) for module in modules)

    def forward(self, given: Features | Inputs | Tensor) -> Features | Tensor:
        if isinstance(given, Inputs):
            found = [module(given) for module in self.copies]
        elif isinstance(given, Tensor):
            found = [module(values) for module, values in zip(self.copies, given, strict=True)]
        else:
            pairs = zip(self.copies, given.values, strict=True)
            found = [module(Features(values, given.mask)) for module, values in pairs]
        if isinstance(found[0], Features):
            return Features(torch.stack([one.values for one in found]), found[0].mask)
        return torch.stack(found)


@contextmanager
def looped() -> Iterator[None]:
    """Stacks that are built here are loops."""
    with mock.patch.object(stacked, "_layered", Loop), mock.patch.object(stacked, "Vmapped", Loop):
        yield


@dataclass
class Contender:
    """One way of making a step, and the seconds per step of every round.

    :param scale: what the seconds are multiplied with, where a step stands for a little more or less work.
    """

    model: nn.Module
    step: Callable[[], None]
    seconds: list[float] = field(default_factory=list)
    scale: float = 1.0


@dataclass(frozen=True)
class Setting:
    """Sizes, and where to run."""

    encoder: MLP
    rows: int
    device: str

    def contender(self, sharing: Sharing, tasks: int, encoder: MLP | None = None) -> Contender:
        """A model under a way of sharing, ready to make steps."""
        generator = torch.Generator().manual_seed(tasks)
        labels = torch.randint(0, 2, (self.rows, tasks), generator=generator).float()
        labels[torch.rand(labels.shape, generator=generator) < 0.2] = torch.nan
        numeric = torch.randn(self.rows, COLUMNS, generator=generator)
        inputs = Inputs(numeric, torch.zeros(self.rows, 0, dtype=torch.long)).to(self.device)
        layout = {f"task_{i}": slice(i, i + 1) for i in range(tasks)}
        targets = Targets(labels, layout).to(self.device)
        parents = [(f"task_{i - 1}",) if i else () for i in range(tasks)]
        fitted = [
            Binary(name, parents=above).fit(pl.DataFrame({name: [0, 1]}))
            for name, above in zip(layout, parents, strict=True)
        ]
        torch.manual_seed(0)
        model = Model(InputSpec(numeric=COLUMNS), fitted, encoder or self.encoder, sharing).to(self.device)
        optimizer = torch.optim.AdamW(model.parameter_groups(0.01), lr=1e-3, fused=True)

        def step() -> None:
            optimizer.zero_grad()
            outputs = model(inputs)
            total = model.losses(outputs, targets).values.sum()
            penalty = model.penalty(outputs, targets)
            torch.autograd.backward(total if penalty is None else total + penalty)
            optimizer.step()

        return Contender(model, step)

    def measure(self, contenders: Sequence[Contender], rounds: int, seconds: float) -> None:
        """Time every contender for about ``seconds`` per round, in turn."""
        counts = [max(1, int(3 * seconds / self._time(contender.step, 3, warm=2))) for contender in contenders]
        for _ in range(rounds):
            for contender, count in zip(contenders, counts, strict=True):
                contender.seconds.append(self._time(contender.step, count) / count)

    def _time(self, step: Callable[[], None], count: int, warm: int = 0) -> float:
        for _ in range(warm):
            step()
        self._wait()
        start = time.perf_counter()
        for _ in range(count):
            step()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def naive(setting: Setting, sharing: Sharing, tasks: int) -> Contender | None:
    """The same model with its copies in a loop; None without copies."""
    with looped():
        contender = setting.contender(sharing, tasks)
    copies = [module for module in contender.model.modules() if isinstance(module, Loop)]
    # Weights that are varied by task (LoRA, adapters, TAPS) are stacks of one: there is no loop to compare with.
    return contender if any(len(loop.copies) > 1 for loop in copies) else None


def ratio(one: Contender, other: Contender) -> str:
    """Median and quartiles of the ratios of two contenders within a round."""
    ratios = torch.tensor([a / b for a, b in zip(one.seconds, other.seconds, strict=True)])
    low, middle, high = ratios.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return f"{middle:6.2f} [{low:.2f}, {high:.2f}]"


def milliseconds(one: Contender) -> float:
    """Median time of a step."""
    return 1e3 * float(torch.tensor(one.seconds).median())


def compare(setting: Setting, ways: Sequence[str], tasks: int, rounds: int, seconds: float) -> None:
    """One line per way of sharing."""
    hard = setting.contender(Hard(), tasks)
    for way in ways:
        sharing = SHARING.build(way)
        own = setting.contender(sharing, tasks)
        bare = SHARING.build({"name": way, **WITHOUT_PENALTY.get(way, {})})
        stack = own if bare == sharing else setting.contender(bare, tasks)
        loop = naive(setting, bare, tasks)
        running = list({id(one): one for one in (hard, own, stack, loop or own)}.values())
        setting.measure(running, rounds, seconds)
        against = ratio(loop, stack) if loop else ""
        print(f"{way:<16}{tasks:>4}{milliseconds(own):>10.3f}   {ratio(own, hard):<22}{against}", flush=True)
        hard.seconds.clear()


class Plain(nn.Module):
    """A mixture of experts as it is usually written by hand."""

    def __init__(self, encoder: MLP, tasks: int, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(self._expert(encoder) for _ in range(experts))
        self.gates = nn.ModuleList(nn.Linear(COLUMNS, experts, bias=False) for _ in range(tasks))
        self.heads = nn.ModuleList(nn.Linear(encoder.width, 1) for _ in range(tasks))

    def _expert(self, encoder: MLP) -> nn.Sequential:
        inputs = [COLUMNS, *[encoder.width] * (encoder.depth - 1)]
        layers = [(nn.Linear(size, encoder.width), nn.ReLU(), nn.Dropout(encoder.dropout)) for size in inputs]
        return nn.Sequential(*(part for layer in layers for part in layer))

    def forward(self, rows: Tensor) -> list[Tensor]:
        """Outputs ``(N, 1)`` by task."""
        experts = torch.stack([expert(rows) for expert in self.experts], 1)
        mixed = [(gate(rows).softmax(-1)[..., None] * experts).sum(1) for gate in self.gates]
        return [head(values) for head, values in zip(self.heads, mixed, strict=True)]


def plain(setting: Setting, tasks: int, experts: int, *, fused: bool | None) -> Contender:
    """The mixture written by hand, with its own loop over losses."""
    generator = torch.Generator().manual_seed(tasks)
    labels = torch.randint(0, 2, (setting.rows, tasks), generator=generator).float()
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = torch.nan
    rows = torch.randn(setting.rows, COLUMNS, generator=generator).to(setting.device)
    labels = labels.to(setting.device)
    model = Plain(setting.encoder, tasks, experts).to(setting.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)

    def step() -> None:
        optimizer.zero_grad()
        total = torch.zeros((), device=setting.device)
        for task, outputs in enumerate(model(rows)):
            seen = ~labels[:, task].isnan()
            total = total + functional.binary_cross_entropy_with_logits(outputs[seen, 0], labels[seen, task])
        torch.autograd.backward(total)
        optimizer.step()

    return Contender(model, step)


def products(setting: Setting, experts: int) -> Contender:
    """Only the matrix products of a step of the experts, each as one large product of as many operations.

    Forward, gradients of the inputs (but of the first layer) and of the weights: nothing else, no memory to speak of.
    """
    width, depth = setting.encoder.width, setting.encoder.depth
    pairs = experts * setting.rows * width * (2 * COLUMNS + 3 * width * (depth - 1))
    side = 1024
    one, other = (torch.randn(side, side, device=setting.device) for _ in range(2))
    count = max(1, round(pairs / side**3))

    def step() -> None:
        for _ in range(count):
            torch.mm(one, other)

    found = Contender(nn.Identity(), step)
    found.scale = pairs / side**3 / count
    return found


def experts(setting: Setting, batches: Sequence[int], rounds: int, seconds: float) -> None:
    """Eight experts at T = 8, by rows in a batch."""
    print("\n8 experts, T = 8; columns behind ms: times over the mixture's own")
    heads = ("rows", "ms", "dense trunk", "own, looped", "by hand", "by hand, default", "products", "most")
    print(("{:>6}{:>10}" + "{:>22}" * 5 + "{:>8}").format(*heads))
    for rows in batches:
        own = replace(setting, rows=rows)
        mixture = own.contender(MMoE(experts=8), 8)
        wide = own.contender(Hard(), 8, replace(setting.encoder, width=8 * setting.encoder.width))
        loop = naive(own, MMoE(experts=8), 8) or mixture
        by_hand = [plain(own, 8, 8, fused=fused) for fused in (True, None)]
        bare = products(own, 8)
        others = [wide, loop, *by_hand, bare]
        own.measure([mixture, *others], rounds, seconds)
        bare.seconds = [bare.scale * taken for taken in bare.seconds]
        most = milliseconds(by_hand[0]) / milliseconds(bare)
        cells = "".join(f"{ratio(other, mixture):>22}" for other in others)
        print(f"{rows:>6}{milliseconds(mixture):>10.3f}{cells}{most:>8.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 8, 20])
    parser.add_argument("--ways", nargs="+", default=list(SHARING))
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256], help="rows, for the mixture at T = 8")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1, help="per contender and round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    setting = Setting(MLP(width=arguments.width, depth=arguments.depth), arguments.rows, arguments.device)
    print(f"torch {torch.__version__}, {arguments.device}, {setting.encoder}, {arguments.rows} rows")
    print(f"{'sharing':<16}{'T':>4}{'ms':>10}   {'over hard':<22}{'loop over stack'}")
    for tasks in arguments.tasks:
        compare(setting, arguments.ways, tasks, arguments.rounds, arguments.seconds)
    experts(setting, arguments.batches, arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
