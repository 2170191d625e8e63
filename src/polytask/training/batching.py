"""Which batches a training is made of."""

from __future__ import annotations

import math
from typing import TypeAlias

from polytask.data.batches import Batches
from polytask.data.sampling.proportional import Proportional
from polytask.data.sampling.sampler import Sampler
from polytask.data.table import Table
from polytask.data.token_batches import TokenBatches
from polytask.errors import ConfigError
from polytask.training.options import TrainingOptions

AnyBatches: TypeAlias = Batches | TokenBatches


def batches_of(
    table: Table, sampler: Sampler, options: TrainingOptions, seed: int, *, rank: int = 0, world: int = 1
) -> AnyBatches:
    """Batches of equal numbers of rows, or of tokens.

    :raises ConfigError: tokens are to be counted, and the table has none.
    """
    rows, tokens = options.batch_size // world, options.batch_tokens
    if tokens is None:
        return Batches(table, sampler, rows, seed, options.epochs, rank=rank, world=world)
    if table.texts is None:
        raise ConfigError(
            "the rows are no texts, so there are no tokens to count.",
            where="training.batch_tokens",
            do="Leave it out; batch_size counts rows.",
        )
    return TokenBatches(table, sampler, tokens // world, seed, options.epochs, batch_size=rows, rank=rank, world=world)


def updates(table: Table, options: TrainingOptions) -> int:
    """Optimizer steps of one pass over a table; about so many, where batches are made of tokens."""
    if options.batch_tokens is None:
        return max(1, math.ceil(len(table) / (options.batch_size * options.accumulate)))
    steps = batches_of(table, Proportional(), options, seed=0).steps
    return max(1, math.ceil(steps / options.accumulate))
