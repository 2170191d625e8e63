"""A table larger than one wants in memory: encode it to memory maps, gather batches, and measure the memory.

    python benchmarks/big_table.py --rows 10000000

Writes a Parquet file piece by piece into a temporary folder, fits a schema and targets on a sample of it, encodes it
with ``storage=``, and walks it in shuffled batches; the same batches are gathered from memory for comparison.

The peak of *anonymous* memory (RssAnon: what the program really holds) is sampled every 20 ms from /proc. The peak
resident set (ru_maxrss) is shown too, but it also counts pages of the mapped files, which the system takes back
whenever it needs them: for a mapped table it grows up to the size of the data and says nothing about need.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from polytask.data import Batches, Schema, Table, sample, scan
from polytask.data.sampling.proportional import Proportional
from polytask.tasks.binary import Binary
from polytask.tasks.regression import Regression
from polytask.tasks.task import Target
from polytask.training.learner import Learner

NUMERIC, CATEGORICAL = 24, 6
PIECE = 250_000
MIB = 2**20


def piece_of(rows: int, seed: int) -> pl.DataFrame:
    """Some rows: numbers with gaps, categories of 5 to 500 levels, and two targets with missing labels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, NUMERIC))
    columns: dict[str, np.ndarray] = {f"x{j}": x[:, j] for j in range(NUMERIC)}
    x[rng.random((rows, NUMERIC)) < 0.02] = np.nan
    for j in range(CATEGORICAL):
        columns[f"c{j}"] = rng.integers(0, (5, 10, 20, 50, 100, 500)[j], rows)
    signal = np.nan_to_num(x[:, :4]).sum(1) + 0.1 * (columns["c0"] - 2)
    columns["price"] = np.where(rng.random(rows) < 0.3, np.nan, signal + rng.normal(size=rows))
    columns["sold"] = np.where(rng.random(rows) < 0.1, np.nan, signal + rng.normal(size=rows) > 0)
    codes = [pl.format("level {}", f"c{j}").alias(f"c{j}") for j in range(CATEGORICAL)]
    return pl.DataFrame(columns, nan_to_null=True).with_columns(codes)


def write_parquet(path: Path, rows: int) -> None:
    """The table, a piece at a time."""
    writer: pq.ParquetWriter | None = None
    for seed, start in enumerate(range(0, rows, PIECE)):
        table: pa.Table = piece_of(min(PIECE, rows - start), seed).to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


def fit(path: Path) -> tuple[Schema, list[Target]]:
    """Schema and targets, learned from a sample of at most a million rows."""
    schema = Schema.fit(scan(path), exclude=["price", "sold"])
    labels = sample(scan(path).select("price", "sold"))
    return schema, [Regression("price").fit(labels.select("price")), Binary("sold").fit(labels.select("sold"))]


def anonymous_mib() -> float:
    """Memory of this process that belongs to no file, now."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")


@dataclass
class Stage:
    """Seconds and peak anonymous memory of one stage."""

    name: str
    seconds: float = 0.0
    before: float = 0.0
    peak: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.stopped.is_set():
            self.peak = max(self.peak, anonymous_mib())
            self.stopped.wait(0.02)

    def __str__(self) -> str:
        return (
            f"{self.name:<34}{self.seconds:>9.1f} s   anonymous memory: {self.before:>7,.0f} MiB before,"
            f" {self.peak:>7,.0f} MiB at the peak"
        )


@contextmanager
def measured(name: str) -> Iterator[Stage]:
    """Measures and prints one stage."""
    stage = Stage(name, before=anonymous_mib())
    watcher = threading.Thread(target=stage.watch)
    watcher.start()
    begin = time.perf_counter()
    try:
        yield stage
    finally:
        stage.seconds = time.perf_counter() - begin
        stage.stopped.set()
        watcher.join()
    print(stage, flush=True)


def gather_microseconds(table: Table, rows: list[torch.Tensor]) -> float:
    """Median time to gather one batch."""
    times = []
    for chosen in rows:
        begin = time.perf_counter()
        table.batch(chosen)
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1e6


def in_memory(table: Table, rows: int) -> Table:
    """The first rows of a table as tensors of their own."""
    batch = table.batch(torch.arange(rows))
    return Table(batch.inputs, batch.targets, {"table": range(rows)})


def train(path: Path, storage: Path, steps: int) -> None:
    """What a user does: everything from the file to a trained model, validation included."""
    learner = Learner(
        [Regression("price"), Binary("sold")],
        training={"batch_size": 1024, "epochs": 1, "max_steps": steps, "validation_fraction": 0.05},
    )
    learner.fit(path, storage=storage)
    print(f"  validation gain over the constant predictor: {learner.history[-1].gain:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4000, help="steps of the walk; 0 for a whole pass")
    parser.add_argument("--train-steps", type=int, default=2000, help="optimizer steps of a whole Learner.fit; 0: none")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, storage = Path(folder) / "big.parquet", Path(folder) / "encoded"
        with measured("write the Parquet file"):
            write_parquet(path, arguments.rows)
        with measured("fit schema and targets on a sample"):
            schema, targets = fit(path)
        with measured("encode to memory maps") as encoding:
            table = Table.encode({"table": scan(path)}, schema, targets, storage=storage)
        batches = Batches(table, Proportional(), arguments.batch, seed=0, epochs=1)
        steps = min(arguments.steps or batches.steps, batches.steps)
        with measured(f"walk {steps:,} of {batches.steps:,} steps") as walk:
            for _, batch in zip(range(steps), batches.epoch(0), strict=False):
                assert len(batch) <= arguments.batch
        rows = [rows for _, (rows, _) in zip(range(1000), batches.rows(1), strict=False)]
        mapped = gather_microseconds(table, rows)
        size = sum(entry.stat().st_size for entry in storage.iterdir())
        small = in_memory(table, min(len(table), 100_000))
        held = gather_microseconds(small, [chosen % len(small) for chosen in rows])
        print(f"\nrows {arguments.rows:,}; Parquet {path.stat().st_size / MIB:,.0f} MiB; encoded {size / MIB:,.0f} MiB "
              f"({schema.spec.numeric} numeric, {len(schema.spec.cardinalities)} categorical, 2 targets)")  # fmt: skip
        shutil.rmtree(storage)
        if arguments.train_steps:
            with measured(f"Learner.fit, {arguments.train_steps:,} steps of 1,024") as training:
                train(path, storage, arguments.train_steps)
    speeds = arguments.rows / encoding.seconds, min(steps * arguments.batch, arguments.rows) / walk.seconds
    print(f"encoded {speeds[0]:,.0f} rows/s; walked {speeds[1]:,.0f} rows/s")
    print(f"gather of {arguments.batch} rows: {mapped:.0f} us memory-mapped, {held:.0f} us in memory (100,000 rows)")
    print(f"peak anonymous memory of encoding and walking: {max(encoding.peak, walk.peak):,.0f} MiB, "
          f"{max(encoding.peak, walk.peak) / (size / MIB):.2f} of the encoded size")  # fmt: skip
    if arguments.train_steps:
        print(f"peak anonymous memory of Learner.fit: {training.peak:,.0f} MiB, "
              f"{training.peak / (size / MIB):.2f} of the encoded size")  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident set, pages of mapped files included: {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
