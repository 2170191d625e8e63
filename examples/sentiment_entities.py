"""What people write about, and how they feel about it: two corpora of tweets, one model.

Sentiment is the mean of twenty ratings from -4 to 4 per tweet (VADER); entities are those of WNUT 2017. No tweet has
both labels. The model reads all of them, and tells both of any text.

    python examples/sentiment_entities.py                             the small encoder, three seeds
    python examples/sentiment_entities.py --encoder hf:minilm --seeds 1

Data come from their official sources, or from the folder that POLYTASK_DATA names.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from polytask.datasets import fetch
from polytask.record.compare import CompareRecord
from pos_ner import Sides, run

TASKS = [
    {"kind": "regression", "name": "sentiment", "metric": "r2"},
    {"kind": "tagging", "name": "ner", "scheme": "BIO"},
]


def main() -> CompareRecord:
    return run(__doc__ or "", TASKS, sides)


def sides(sentences: int | None) -> Sides:
    """Two corpora to learn from, to choose by and to judge by; tweets are parted at random."""
    tweets = fetch("vader").frame.filter(pl.col("collection") == "tweets").select("text", "sentiment")
    tweets = tweets[np.random.default_rng(0).permutation(tweets.height)]
    wnut = fetch("wnut17")
    assert wnut.validation is not None
    return (
        {"tweets": tweets[:2800][:sentences], "wnut": wnut.train[:sentences]},
        {"tweets": tweets[2800:3300][:sentences], "wnut": wnut.validation[:sentences]},
        {"tweets": tweets[3300:][:sentences], "wnut": wnut.test[:sentences]},
    )


if __name__ == "__main__":
    main()
