"""Time of one training step of T binary tasks on one trunk, over the time for one task.

    python benchmarks/tabular_step.py --threads 1

A step is forward, losses, backward and optimizer on one batch: an MLP of 2 x 128 on 100 numeric features, 256 rows, a
fifth of the labels missing. "stacked" is the model of Polytask; "separate" is the usual way: T ``nn.Linear`` heads and
T losses over each task's labelled rows. All variants run in one process, in turn; a time is the median over rounds with
its quartiles, a ratio the median over rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Batch, Inputs, InputSpec, Targets
from polytask.nets.encoders.mlp import MLP
from polytask.nets.model import Model
from polytask.nets.sharing.hard import Hard
from polytask.tasks.binary import Binary

ROWS, COLUMNS = 256, 100
SPEC = InputSpec(numeric=COLUMNS)


@dataclass
class Contender:
    """One way of making a step, and the seconds per step of every round."""

    name: str
    tasks: int
    step: Callable[[], None]
    seconds: list[float] = field(default_factory=list)


def batch_of(tasks: int) -> Batch:
    """Features and labels with no signal: only the time counts."""
    generator = torch.Generator().manual_seed(tasks)
    labels = torch.randint(0, 2, (ROWS, tasks), generator=generator).float()
    labels[torch.rand(ROWS, tasks, generator=generator) < 0.2] = torch.nan
    inputs = Inputs(torch.randn(ROWS, COLUMNS, generator=generator), torch.zeros(ROWS, 0, dtype=torch.long))
    return Batch(inputs, Targets(labels, {f"task_{i}": slice(i, i + 1) for i in range(tasks)}))


def stacked(tasks: int, dropout: float) -> Callable[[], None]:
    """A step of Polytask's model."""
    batch = batch_of(tasks)
    fitted = [Binary(f"task_{i}").fit(pl.DataFrame({f"task_{i}": [0, 1]})) for i in range(tasks)]
    model = Model(SPEC, fitted, MLP(dropout=dropout), Hard())
    optimizer = torch.optim.AdamW(model.parameter_groups(0.01), lr=1e-3, fused=True)  # as in training

    def step() -> None:
        optimizer.zero_grad()
        model.losses(model(batch.inputs), batch.targets).values.sum().backward()
        optimizer.step()

    return step


def separate(tasks: int, dropout: float) -> Callable[[], None]:
    """A step with one head and one loss per task."""
    batch = batch_of(tasks)
    trunk = MLP(dropout=dropout).build(SPEC)
    heads = nn.ModuleList(nn.Linear(trunk.width, 1) for _ in range(tasks))
    optimizer = torch.optim.AdamW([*trunk.parameters(), *heads.parameters()], lr=1e-3, fused=True)

    def loss(head: nn.Module, features: Tensor, labels: Tensor) -> Tensor:
        rows = ~labels.isnan()
        return functional.binary_cross_entropy_with_logits(head(features[rows])[:, 0], labels[rows])

    def step() -> None:
        optimizer.zero_grad()
        features = trunk(batch.inputs)
        columns = batch.targets.values.unbind(1)
        torch.stack([loss(h, features, y) for h, y in zip(heads, columns, strict=True)]).sum().backward()
        optimizer.step()

    return step


def measure(contenders: list[Contender], rounds: int, seconds: float) -> None:
    """Time every contender for about ``seconds`` per round, in turn; the first round warms up."""
    steps = {}
    for contender in contenders:
        contender.step()
        start = time.perf_counter()
        for _ in range(5):
            contender.step()
        steps[contender.name, contender.tasks] = max(1, int(5 * seconds / (time.perf_counter() - start)))
    for _ in range(rounds):
        for contender in contenders:
            count = steps[contender.name, contender.tasks]
            start = time.perf_counter()
            for _ in range(count):
                contender.step()
            contender.seconds.append((time.perf_counter() - start) / count)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = torch.tensor(values, dtype=torch.float64).quantile(torch.tensor([0.25, 0.5, 0.75]).double())
    return float(low), float(middle), float(high)


def row(contender: Contender, base: Contender) -> str:
    """One line of the table."""
    low, middle, high = (1e3 * q for q in quartiles(contender.seconds))
    ratios = [a / b for a, b in zip(contender.seconds, base.seconds, strict=True)]
    a, b, c = quartiles(ratios)
    time_column = f"{middle:8.3f}  [{low:.3f}, {high:.3f}]"
    return f"{contender.name:<10}{contender.tasks:>5}  {time_column:<30}{b:7.2f}  [{a:.2f}, {c:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of torch")
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 2, 8, 32, 128])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="per variant and round")
    parser.add_argument("--dropout", type=float, default=0.1, help="of the trunk")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    contenders = [
        Contender(name, tasks, build(tasks, options.dropout))
        for tasks in options.tasks
        for name, build in (("stacked", stacked), ("separate", separate))
    ]
    measure(contenders, options.rounds, options.seconds)
    print(f"torch {torch.__version__}, {options.threads} thread(s), dropout {options.dropout}, {options.rounds} rounds")
    print(f"{'heads':<10}{'T':>5}  {'ms per step [quartiles]':<30}{'over T = 1':>7}")
    for name in ("stacked", "separate"):
        mine = [contender for contender in contenders if contender.name == name]
        for contender in mine:
            print(row(contender, mine[0]))


if __name__ == "__main__":
    main()
