"""``polytask version``."""

from __future__ import annotations

from importlib.metadata import version


def command() -> None:
    """Print the version."""
    print(f"polytask {version('polytask')}")
