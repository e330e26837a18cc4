"""Text files line by line, and the findings that are made on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rerank_search.corpora.readers import opened
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.collection import Finding

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, gzipped or not, with their numbers, counted from 1; streamed.

    Line ends are cut off, and lines of nothing but white space left out. Raises
    InvalidInputError for a file that cannot be read, and for bytes that are not UTF-8.
    """
    with opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            content = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            try:
                text = content.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InvalidInputError(
                    f"{path}, line {number}: not UTF-8 (byte {error.start + 1}); convert the file"
                ) from error
            if text.strip():
                yield number, text


def plain_or_gzipped(path: Path) -> Path | None:
    """``path``, or the same with ``.gz`` behind it, whichever is there."""
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def bare_name(path: Path) -> str:
    """The name of a file without ``.gz`` and without the suffix before that."""
    return path.with_suffix("").stem if path.suffix.lower() == ".gz" else path.stem


@dataclass(slots=True)
class Tally:
    """Cases of one kind, counted; what a Finding is made of."""

    what: str
    count: int = 0
    first: str = ""

    def add(self, case: str) -> None:
        """Count one case; the first one is kept."""
        self.first = self.first or case
        self.count += 1

    @classmethod
    def of(cls, what: str, cases: Iterable[str], described: Callable[[str], str]) -> Tally:
        """The tally of ``cases``, of which only the first is described."""
        tally = cls(what)
        for case in cases:
            tally.add("" if tally.count else described(case))
        return tally


def findings(tallies: Iterable[Tally]) -> list[Finding]:
    """One finding for each tally that counted anything."""
    return [Finding(tally.what, tally.count, tally.first) for tally in tallies if tally.count]
