"""Features that give a target away are refused; coincidences are not."""

import numpy as np
import polars as pl
import pytest

from polytask.data.leakage import check_leakage
from polytask.errors import DataError

RNG = np.random.default_rng(0)
N = 300
SICK = RNG.integers(0, 2, N)
PRICE = RNG.normal(size=N)
FRAME = pl.DataFrame({"sick": SICK, "grade": RNG.choice(list("abc"), N), "price": PRICE, "x": RNG.normal(size=N)})
HOLES = np.where(RNG.random(N) < 0.2, np.nan, 1.0)

LEAKS = {
    "copy": ("sick", SICK.tolist()),
    "copy as number": ("sick", SICK.astype(float).tolist()),
    "copy with gaps": ("sick", (SICK * HOLES).tolist()),
    "words": ("sick", ["ill" if s else "well" for s in SICK]),
    "turned": ("sick", (1 - SICK).tolist()),
    "truth": ("sick", [bool(s) for s in SICK]),
    "codes": ("grade", [{"a": 2, "b": 0, "c": 1}[g] for g in FRAME["grade"]]),
    "price itself": ("price", PRICE.tolist()),
    "price with gaps": ("price", (PRICE * HOLES).tolist()),
    "price in cents": ("price", (PRICE * 100).tolist()),
    "other zero": ("price", (PRICE * 1.8 + 32).astype(np.float32).astype(float).tolist()),
}


@pytest.mark.parametrize("case", list(LEAKS))
def test_a_target_in_disguise_is_refused_with_both_names(case: str) -> None:
    target, values = LEAKS[case]
    frame = FRAME.with_columns(pl.Series("leak", values).fill_nan(None) if isinstance(values[0], float)
                               else pl.Series("leak", values))  # fmt: skip
    for table in (frame, frame.lazy()):
        with pytest.raises(DataError, match=rf"'leak' gives the target '{target}' away.*\n.*exclude=\['leak'\]"):
            check_leakage(table, ["x", "leak"], ["grade", "sick", "price"])


HARMLESS = {
    "noisy copy": np.where(np.arange(N) == 17, 1 - SICK, SICK).tolist(),
    "strong but honest": (PRICE + RNG.normal(size=N) * 1e-3).tolist(),
    "identifier": list(range(N)),
    "name": [f"person {i}" for i in range(N)],
    "constant": [1] * N,
    "missing": [None] * N,
    "finer": [f"{s}{i % 3}" for i, s in enumerate(SICK)],
    "nested": [[1]] * N,
}


@pytest.mark.parametrize("case", list(HARMLESS))
def test_other_features_pass(case: str) -> None:
    check_leakage(FRAME.with_columns(pl.Series("f", HARMLESS[case])), ["x", "f"], ["sick", "grade", "price"])


def test_targets_may_equal_targets_and_absent_columns_are_ignored() -> None:
    frame = FRAME.with_columns(pl.Series("copy", SICK))
    check_leakage(frame, ["x", "copy"], ["sick", "copy"])
    check_leakage(frame, ["x", "nowhere"], ["sick", "elsewhere"])


def test_coincidence_in_a_tiny_table_passes_and_the_same_in_a_larger_one_does_not() -> None:
    # 2! 5! 5! / 10! = 0.008; a copy of ten distinct numbers by chance: 1 / 10! = 3e-7
    tiny = pl.DataFrame({"f": ["u", "v"] * 5, "t": [0, 1] * 5})
    check_leakage(tiny, ["f"], ["t"])
    with pytest.raises(DataError, match="'f'"):
        check_leakage(pl.concat([tiny] * 5), ["f"], ["t"])
    numbers = pl.DataFrame({"t": PRICE[:10], "f": PRICE[:10]})
    with pytest.raises(DataError, match="equal in every row"):
        check_leakage(numbers, ["f"], ["t"])
    check_leakage(numbers[:9], ["f"], ["t"])  # 1 / 9! = 3e-6


def test_labels_that_begin_late_are_compared_where_they_are() -> None:
    late = [None] * 280 + SICK[280:].tolist()
    frame = pl.DataFrame({"t": late, "f": (1 - SICK).tolist()})
    check_leakage(frame, ["f"], ["t"])  # twenty labels: 2! 10! 10! / 20! is no proof
    frame = pl.DataFrame({"t": [None] * 260 + SICK[260:].tolist(), "f": (1 - SICK).tolist()})
    with pytest.raises(DataError, match="'f'"):
        check_leakage(frame, ["f"], ["t"])
