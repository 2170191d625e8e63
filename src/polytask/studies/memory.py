"""How much memory a piece of work takes on top of what was there, sampled from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATM = Path("/proc/self/statm")
_PERIOD = 0.005


class Peak:
    """``bytes``: the highest resident memory seen, above the start; NaN where the system does not tell."""

    bytes: float = float("nan")


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """Watch the resident memory of this process, 200 times a second.

    Memory that the allocator kept from earlier work is not counted again, so small runs may show 0.
    """
    peak = Peak()
    if not STATM.exists():
        yield peak
        return
    page = 4096
    before = _resident(page)
    done = threading.Event()
    seen = [before]

    def watch() -> None:
        while not done.wait(_PERIOD):
            seen[0] = max(seen[0], _resident(page))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak.bytes = float(max(seen[0], _resident(page)) - before)


def _resident(page: int) -> int:
    return int(STATM.read_text("ascii").split()[1]) * page
