"""The bytes and lines of a file or of the standard input."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from rerank_search.errors import InvalidDocumentError, InvalidInputError

STDIN = "-"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def opened(source: str | Path) -> Iterator[BinaryIO]:
    """The bytes of a file, or of the standard input (``-``), decompressed if they are gzip.

    Raises InvalidInputError for a file that cannot be read, and InvalidDocumentError for an
    incomplete gzip file or UTF-16.
    """
    with _raw(source) as raw:
        try:
            stream = _decompressed(raw)
            if _is_utf16(stream.peek(2)[:2]):
                raise InvalidDocumentError(
                    f"{source_name(source)} is not UTF-8 and looks like UTF-16: save it as UTF-8"
                )
            yield cast(BinaryIO, stream)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidDocumentError(
                f"{source_name(source)} is not a complete gzip file ({error}): download or "
                "compress it again"
            ) from error


def source_name(source: str | Path) -> str:
    """The path, or the name of the standard input in messages."""
    return "standard input" if str(source) == STDIN else str(source)


def _raw(source: str | Path) -> BufferedReader:
    if str(source) == STDIN:
        # A second file object on the same descriptor, so that closing it does not close sys.stdin.
        return open(sys.stdin.fileno(), "rb", closefd=False)
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise InvalidInputError(
            f"{source} cannot be read ({error.strerror}): check the path"
        ) from error


def _decompressed(raw: BufferedReader) -> BufferedReader | gzip.GzipFile:
    if raw.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
        return gzip.GzipFile(fileobj=raw)
    return raw


def _is_utf16(start: bytes) -> bool:
    """Whether the file looks like UTF-16: it has a byte order mark, or the NULs of ASCII text."""
    return start in _UTF16_MARKS or (len(start) == 2 and (start[0] == 0) != (start[1] == 0))


def content_lines(lines: Iterable[bytes], *, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, counted from ``first``; blank lines are skipped.

    A byte order mark before line 1 is removed.
    """
    for number, line in enumerate(lines, start=first):
        content = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
        if content.strip():
            yield number, content
