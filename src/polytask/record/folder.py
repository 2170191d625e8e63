"""Folders and files that are whole or not there: written under a temporary name, flushed to disk, then renamed.

A run that is killed leaves every file either in its old or in its new version, never half of one.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from polytask.errors import RunError

MARKERS = ("run.json", "compare.json", "polytask.yaml")
"""A folder with one of these files was written by Polytask, and may be overwritten on request."""


def path_of(folder: object) -> Path:
    """A path from what a user calls one.

    :raises RunError: it is none.
    """
    if not isinstance(folder, str | os.PathLike):
        raise RunError(f"expected the path of a folder, found {folder!r}.", do='For example "runs/first".')
    return Path(folder)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    >>> import tempfile
    >>> folder = RunFolder.create(Path(tempfile.mkdtemp()) / "run")
    >>> folder.write_text("note.txt", "hello")
    >>> folder.read_text("note.txt")
    'hello'
    """

    path: Path

    @classmethod
    def create(cls, path: str | Path, *, overwrite: bool = False) -> RunFolder:
        """A new, empty folder.

        :param overwrite: replace a folder that Polytask wrote earlier. Other people's folders are never removed.
        :raises RunError: it exists and is not empty, or cannot be written.
        """
        place = Path(path)
        refuse_existing(place, overwrite=overwrite)
        with _explained(place):
            if place.exists() and any(place.iterdir()):
                _remove(place)
            place.mkdir(parents=True, exist_ok=True)
            probe = _neighbour(place / "probe")
            probe.touch()
            probe.unlink()
        return cls(place)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A folder that exists.

        :raises RunError: there is none.
        """
        place = Path(path)
        if not place.is_dir():
            near = f" In {place.parent} there are: {_listing(place.parent)}." if place.parent.is_dir() else ""
            raise RunError("there is no such folder.", where=str(place), do=f"Check the path.{near}")
        return cls(place)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_text(self, name: str, text: str) -> None:
        """Write a file, whole or not at all; an older version of it is replaced."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; an older version of it is replaced."""
        write_file(self.path / name, content)

    def read_text(self, name: str) -> str:
        """The text of a file.

        :raises RunError: it is missing, or is no text.
        """
        return read_file(self.path / name).decode(errors="replace")


def write_file(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all: a temporary neighbour, flushed to disk, then renamed.

    :raises RunError: it cannot be written.
    """
    temporary = _neighbour(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    :raises RunError: it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(
            f"the file {path.name!r} is missing; found: {_listing(path.parent)}.",
            where=str(path.parent),
            do="The folder is incomplete; copy it again, or run the command that made it again.",
        ) from None
    except OSError as error:
        raise RunError(f"cannot read: {error.strerror}.", where=str(path)) from error


@contextmanager
def whole_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary neighbour to fill; it takes the name ``path`` when the block ends well, and vanishes otherwise.

    :param overwrite: replace a folder that Polytask wrote earlier.
    :raises RunError: ``path`` exists and is not empty, or cannot be written.
    """
    place = Path(path)
    refuse_existing(place, overwrite=overwrite)
    temporary = _neighbour(place)
    with _explained(place):
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with _explained(place):
            if place.exists():
                _remove(place)
            temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(place: Path, *, overwrite: bool) -> None:
    """Refuse a path that holds something, with advice.

    :raises RunError: a file; a folder that is not empty, unless it is ours and ``overwrite`` is set.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise RunError("expected a folder, found a file of that name.", where=str(place), do="Choose another name.")
    if not any(place.iterdir()):
        return
    if not overwrite:
        raise RunError(
            "the folder exists and is not empty.",
            where=str(place),
            do="Choose another name, or replace it: overwrite=True in Python, --overwrite on the command line.",
        )
    if not any((place / marker).is_file() for marker in MARKERS):
        raise RunError(
            f"the folder was not written by Polytask (none of {', '.join(MARKERS)} in it), so it is not replaced.",
            where=str(place),
            do="Choose another name, or remove the folder yourself.",
        )


def refuse_unwritable(place: Path) -> None:
    """Refuse a path below which nothing can be written, before work is done for it.

    :raises RunError: it cannot be written.
    """
    there = place
    while not there.exists() and there != there.parent:
        there = there.parent
    probe = _neighbour(there / "probe")
    with _explained(place):
        probe.touch()
        probe.unlink()


def _remove(place: Path) -> None:
    """Out of the way in one rename, then gone: a kill in between leaves no half-removed folder under the name."""
    grave = _neighbour(place)
    place.rename(grave)
    shutil.rmtree(grave)


def _neighbour(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def _listing(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "") if names else "nothing"


@contextmanager
def _explained(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write here: {error.strerror or error}.",
            where=str(place),
            do="Choose a folder that you may write to, on a disk with space left.",
        ) from error
