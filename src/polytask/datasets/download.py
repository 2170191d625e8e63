"""Files of larger data sets: a local copy, the cache, or the official source, always checked."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from polytask.errors import DataError

VARIABLE = "POLYTASK_DATA"
"""Environment variable: a folder of local copies that is used instead of the network."""

TIMEOUT = 60.0
"""Seconds without a byte before a download is given up."""


@dataclass(frozen=True)
class Copy:
    """A local copy of a file, often compressed or joined otherwise than the official one.

    :param path: path inside the folder of local copies.
    :param sha256: digest of this copy, counted when it was first used.
    """

    path: str
    sha256: str


@dataclass(frozen=True)
class File:
    """One file of a data set.

    :param name: its official name.
    :param url: its official address.
    :param sha256: digest of the official file; None where nobody has recorded one that could be checked. Then the
        first download is trusted and its digest is kept beside it, so that later changes on disk are still noticed.
    :param copies: other forms in which it may lie in the folder of local copies.
    """

    name: str
    url: str
    sha256: str | None = None
    copies: tuple[Copy, ...] = ()


def locate(dataset: str, file: File, folder: Path | None) -> Path:
    """The path of a checked file.

    With ``folder`` (or the environment variable POLYTASK_DATA) only that folder is searched: first
    ``folder/<data set>/<official name>``, then the known copies. Otherwise the cache is used and filled.

    :raises polytask.errors.DataError: absent, unreachable, or not the recorded file.
    """
    if folder is None and os.environ.get(VARIABLE):
        folder = Path(os.environ[VARIABLE])
    if folder is not None:
        return _local(dataset, file, folder)
    path = cache() / dataset / file.name
    note = path.with_name(path.name + ".sha256")
    if not path.exists():
        download(file, path)
        note.write_text(digest(path) + "\n")
    expected = file.sha256 or (note.read_text().strip() if note.exists() else None)
    return check(path, expected, do=f"Delete {path} to download it again.")


def cache() -> Path:
    """The folder that downloads go to: ``$XDG_CACHE_HOME/polytask`` or ``~/.cache/polytask``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "polytask"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(path: Path, expected: str | None, *, do: str | None = None) -> Path:
    """The path, if the file has the expected digest (None: nothing to compare with)."""
    if expected is not None and (found := digest(path)) != expected:
        raise DataError(f"expected SHA-256 {expected}, found {found}.", where=str(path), do=do)
    return path


def download(file: File, path: Path, *, timeout: float = TIMEOUT) -> None:
    """Download to a temporary neighbour, check it, then rename: ``path`` is never half a file.

    :raises polytask.errors.DataError: the address cannot be reached, or what came is not the recorded file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        part = Path(temporary) / path.name
        try:
            with urllib.request.urlopen(file.url, timeout=timeout) as answer, part.open("wb") as stream:
                shutil.copyfileobj(answer, stream)
                promised = answer.headers.get("Content-Length")
            if promised is not None and part.stat().st_size != int(promised):  # urllib does not mind a cut-off answer
                raise ConnectionError(f"the connection broke after {part.stat().st_size} of {promised} bytes")
        except (urllib.error.URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise DataError(
                f"cannot reach {file.url}: {reason}.",
                where=file.name,
                do=f"Try again later, or set {VARIABLE} to a folder that holds {path.parent.name}/{file.name}.",
            ) from error
        check(part, file.sha256, do=f"{file.url} gave another file than the one recorded; nothing was kept.")
        part.replace(path)


def _local(dataset: str, file: File, folder: Path) -> Path:
    official = folder / dataset / file.name
    if official.exists():
        return check(official, file.sha256)
    for copy in file.copies:
        if (folder / copy.path).exists():
            return check(folder / copy.path, copy.sha256)
    expected = ", ".join([f"{dataset}/{file.name}", *(copy.path for copy in file.copies)])
    raise DataError(
        f"expected one of {expected}; found none.",
        where=str(folder),
        do=f"Download {file.url} into {official.parent}, or unset {VARIABLE} to let Polytask download it.",
    )
