"""Text files line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rerank_search.corpora.streams import content_lines, opened
from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that no id may have: pytrec_eval ends an id at \\0, which makes two ids one."""


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, gzipped or not, with their numbers, counted from 1; streamed.

    Line ends are removed, and blank lines are skipped. Raises InvalidInputError for a file that
    cannot be read, and for bytes that are not UTF-8.
    """
    with opened(path) as stream:
        for number, content in content_lines(stream):
            try:
                text = content.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InvalidInputError(
                    f"{path}, line {number}: not UTF-8 (byte {error.start + 1}); convert the file"
                ) from error
            if text.strip():
                yield number, text


def plain_or_gzipped(path: Path) -> Path | None:
    """``path``, or the same with ``.gz`` behind it, whichever exists; None if neither does.

    Raises InvalidInputError if both exist.
    """
    candidates = (path, path.with_name(path.name + ".gz"))
    found = [candidate for candidate in candidates if candidate.is_file()]
    return only(found, f"{path.parent}") if found else None


def only(files: Sequence[Path], where: str) -> Path:
    """The only one of ``files``. Raises InvalidInputError, which names them, if there are more."""
    if len(files) > 1:
        names = " and ".join(sorted(file.name for file in files))
        raise InvalidInputError(f"{where} has {names}: keep only one of them")
    return files[0]


def check_id(id: str, what: str, where: str) -> None:
    """Raise InvalidInputError for a control character in an id; ``where`` is file and line."""
    if CONTROL.search(id):
        raise InvalidInputError(
            f"{where}: the {what} id {shown(id)} contains a control character: rename it, because "
            "such ids cannot be told apart reliably"
        )


def bare_name(path: Path) -> str:
    """The name of a file without ``.gz`` and without the suffix before that."""
    return path.with_suffix("").stem if path.suffix.lower() == ".gz" else path.stem
