"""Files of text as bytes: unpacked, in UTF-8, with line ends that are line ends."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from polytask.errors import DataError

OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def content_of(path: Path, expected: str, kind: str = "CSV") -> bytes:
    """The content of a file, possibly gzipped, without a byte order mark.

    :param expected: what should be in it, for the message about an empty file. :param kind: of file.
    :raises DataError: empty, damaged, or not UTF-8.
    """
    raw = path.read_bytes()
    if path.name.lower().endswith(".gz"):
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"the file is no complete gzip archive: {error}.") from None
    content = raw.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise DataError("the file is empty.", do=f"Expected {expected}.")
    check_encoding(content, kind)
    # Old Macintosh line ends would make the file one endless line.
    return content.replace(b"\r", b"\n") if b"\n" not in content else content


def check_encoding(content: bytes, kind: str = "CSV") -> None:
    """Refuses anything but UTF-8.

    :raises DataError: with the line of the first byte that is none.
    """
    other = OTHER_ENCODINGS.get(content[:2])
    if other or b"\x00" in content:
        found = (
            f"this looks like {other}" if other else f"line {content[: content.index(0)].count(10) + 1} has a NUL byte"
        )
        raise DataError(f"expected text in UTF-8; {found}.", do=f"Save the file as {kind} in UTF-8.")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        shown = content[max(error.start - 15, 0) : error.start + 15].decode("latin-1")
        raise DataError(
            f"expected text in UTF-8, found the byte 0x{content[error.start]:02X} near {shown!r}.",
            where=f"line {line}",
            do="Save the file as UTF-8; Windows programs often write Latin-1 (cp1252).",
        ) from None
