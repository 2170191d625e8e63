"""What one model of texts costs against five: training, prediction, batches, tokenisation.

    python benchmarks/text.py                                 the small encoder
    python benchmarks/text.py --encoder hf:minilm --sentences 600 --batches 4
    python benchmarks/text.py --only tokens                   the cache of tokens alone

Five tasks: parts of speech, morphology, lemmas and dependencies of the English Web Treebank, and names of WNUT 2017.
Each model takes some batches in turn, round after round; an epoch is the median time of a batch times its number of
batches. One thread unless --threads says otherwise. Data: see examples/pos_ner.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import polars as pl
import torch

from polytask.data.batches import Batches
from polytask.data.sampling.proportional import Proportional
from polytask.data.table import Table
from polytask.data.text.schema import TextSchema
from polytask.data.token_batches import TokenBatches
from polytask.nets.encoders import ENCODERS
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.model import Model
from polytask.nets.sharing.hard import Hard
from polytask.tasks import TASKS
from polytask.tasks.task import Target, Task, labelled
from polytask.training.optimizer import build_optimizer
from polytask.training.options import TrainingOptions
from polytask.training.sources import fit_targets, with_words
from polytask.training.trainer import loss_units

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from pos_ner import TASKS as FIVE  # the examples are no package
from pos_ner import sides

TOKENS = 2048


@dataclass
class Runner:
    """One model that takes training steps and answers.

    :param seconds: measured, per batch: training, prediction.
    """

    name: str
    model: Model
    table: Table
    batches: Batches | TokenBatches
    optimizer: torch.optim.Optimizer
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"train": [], "predict": []})
    at: int = 0

    def step(self) -> None:
        """One update from the next batch."""
        batch = next(iter(self.batches.epoch(0, start=self.at % max(1, self.batches.steps - 2))))
        self.at += 1
        self.model.train()
        begin = time.perf_counter()
        self.model.losses(self.model(batch.inputs), batch.targets).values.sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seconds["train"].append(time.perf_counter() - begin)

    def answer(self, inputs: object) -> None:
        """The decoded answers for some texts."""
        self.model.eval()
        begin = time.perf_counter()
        with torch.inference_mode():
            said = self.model.answers(self.model(inputs))
            for target in self.model.targets:
                target.answer(said[target.task.name])
        self.seconds["predict"].append(time.perf_counter() - begin)

    def epoch(self) -> list[float]:
        """Seconds of an epoch by each measured batch."""
        return [seconds * self.batches.steps for seconds in self.seconds["train"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--encoder", default="words")
    parser.add_argument("--sentences", type=int, default=None, help="of the treebank; default all")
    parser.add_argument("--batches", type=int, default=12, help="measured batches per model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("models", "batches", "tokens"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    encoder = ENCODERS.build(options.encoder, where="encoder")
    train, _, test = sides(options.sentences)
    if options.only in (None, "models"):
        models(encoder, train, test, options.batches)
    if options.only in (None, "batches"):
        budgets(encoder, train, options.batches)
    if options.only in (None, "tokens"):
        tokens(encoder)


def models(encoder: Encoder, train: dict[str, pl.DataFrame], test: dict[str, pl.DataFrame], rounds: int) -> None:
    """One model of five tasks against five models."""
    schema, targets, table = encoded(encoder, train)
    joint = runner("joint", encoder, schema, targets, table)
    singles = [runner(t.task.name, encoder, schema, (t,), own_rows(table, t)) for t in targets]
    texts = Table.encode({"test": test["ewt"].head(64)}, schema, ()).batch(torch.arange(64)).inputs
    for _ in range(rounds + 1):
        for one in (joint, *singles):
            one.step()
            one.answer(texts)
    for one in (joint, *singles):  # the first round warms up
        one.seconds = {kind: measured[1:] for kind, measured in one.seconds.items()}
    print(f"\n{type(encoder).__name__}\n")
    print("| model | batches | an epoch, s | 64 sentences answered, ms |\n|---|---|---|---|")
    for one in (joint, *singles):
        print(
            f"| {one.name} | {one.batches.steps} | {median(one.epoch()):.2f} "
            f"| {1000 * median(one.seconds['predict']):.1f} |"
        )
    report("training, joint over the sum of five", joint.epoch(), [one.epoch() for one in singles], 0.35)
    asked = [one.seconds["predict"] for one in singles]
    report("prediction, joint over the sum of five", joint.seconds["predict"], asked, 0.3)


def budgets(encoder: Encoder, train: dict[str, pl.DataFrame], rounds: int) -> None:
    """Batches of about equal lengths against batches of random sentences padded to the longest."""
    schema, targets, table = encoded(encoder, {"ewt": train["ewt"]}, FIVE[:1])
    by_tokens = runner("tokens", encoder, schema, targets, table)
    rows = max(1, round(len(table) / by_tokens.batches.steps))
    at_random = runner("random", encoder, schema, targets, table, rows=rows)
    for _ in range(rounds + 1):
        for one in (by_tokens, at_random):
            one.step()
    for one in (by_tokens, at_random):
        one.seconds["train"] = one.seconds["train"][1:]
    ratio = median(at_random.epoch()) / median(by_tokens.epoch())
    print(
        f"\nan epoch in batches of {TOKENS} tokens: {ratio:.2f} times faster than in {rows} random sentences (>= 1.5)"
    )


def tokens(encoder: Encoder) -> None:
    """A second encoding of 12,000 sentences, from the cache."""
    train, _, _ = sides(12_000)
    frames = {"ewt": train["ewt"].select("words")}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["POLYTASK_CACHE"] = folder
        schema = TextSchema.fit(frames, tokenizer_of(encoder))
        measured = []
        for _ in range(2):
            begin = time.perf_counter()
            Table.encode(frames, schema, ())
            measured.append(time.perf_counter() - begin)
    print(f"\n12,000 sentences as tokens: {measured[0]:.2f} s, again {measured[1]:.2f} s (< 1)")


def encoded(
    encoder: Encoder, frames: dict[str, pl.DataFrame], tasks: Sequence[dict[str, str]] = FIVE
) -> tuple[TextSchema, tuple[Target, ...], Table]:
    """Texts as tokens, labels as numbers."""
    built: list[Task] = [TASKS.build(task, where="tasks") for task in tasks]
    schema = TextSchema.fit(frames, tokenizer_of(encoder))
    targets = fit_targets(built, with_words(schema, frames))
    return schema, targets, Table.encode(frames, schema, targets)


def tokenizer_of(encoder: Encoder) -> Callable[..., object]:
    """The tokenizer of an encoder of texts."""
    found = encoder.tokenizer()
    assert found is not None
    return found


def own_rows(table: Table, target: Target) -> Table:
    """The rows that carry a label of one task."""
    return table.take(labelled(table.labels(target.task.name)).nonzero()[:, 0])


def runner(
    name: str, encoder: Encoder, schema: TextSchema, targets: Sequence[Target], table: Table, *, rows: int | None = None
) -> Runner:
    """A fresh model, its batches (of tokens, or of so many rows) and its optimizer."""
    model = Model(schema.spec, targets, encoder, Hard(), loss_units(table, targets))
    batches = (
        TokenBatches(table, Proportional(), TOKENS, 0, 1)
        if rows is None
        else Batches(table, Proportional(), rows, 0, 1)
    )
    return Runner(name, model, table, batches, build_optimizer(model, TrainingOptions(), torch.device("cpu")))


def report(what: str, joint: Sequence[float], singles: Sequence[Sequence[float]], target: float) -> None:
    """The ratio with the spread of the rounds."""
    ratios = [one / sum(others) for one, others in zip(joint, zip(*singles, strict=True), strict=True)]
    low, _, high = quantiles(ratios, n=4)
    ratio = median(joint) / sum(median(single) for single in singles)
    print(f"{what}: {ratio:.2f} [{low:.2f}, {high:.2f}] (<= {target})")


if __name__ == "__main__":
    main()
