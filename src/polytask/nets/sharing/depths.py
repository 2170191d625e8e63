"""Depths of an encoder: its blocks in groups."""

from __future__ import annotations

from polytask.errors import ConfigError


def groups_of(blocks: int, levels: int) -> list[range]:
    """Consecutive blocks spread evenly over levels, the longer groups first; 0 levels: one block each.

    >>> groups_of(5, 2), groups_of(3, 0)
    ([range(0, 3), range(3, 5)], [range(0, 1), range(1, 2), range(2, 3)])

    :raises polytask.errors.ConfigError: more levels than blocks.
    """
    count = levels or blocks
    if count > blocks:
        raise ConfigError(
            f"{count} levels need as many blocks; the encoder has {blocks}.",
            where="levels",
            do=f"Ask for at most {blocks} levels, or give the encoder a depth of {count}.",
        )
    ends = [-(-blocks * (i + 1) // count) for i in range(count)]
    return [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
