"""Print the page of all data sets: ``python -m polytask.datasets > docs/datasets.md``."""

from __future__ import annotations

import os
import sys

from polytask.datasets import DATASETS
from polytask.datasets.cards import page
from polytask.datasets.dataset import Card
from polytask.datasets.download import VARIABLE
from polytask.datasets.entry import Packaged, Remote
from polytask.errors import UserError


def main() -> None:
    """Count what is at hand, name on the error stream what is not, print the page.

    Nothing is downloaded: sets to be fetched are counted only in a folder of local copies.
    """
    cards: dict[str, Card] = {}
    for name, entry in DATASETS.items():
        try:
            if isinstance(entry, Packaged):
                cards[name] = entry.load().card
            elif isinstance(entry, Remote) and os.environ.get(VARIABLE):
                cards[name] = entry.fetch(None).card
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
    sys.stdout.write(page(DATASETS, cards))


if __name__ == "__main__":
    main()
