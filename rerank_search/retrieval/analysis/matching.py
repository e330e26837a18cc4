"""Where in a text the words stand by which BM25 finds it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Set
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from rerank_search.retrieval.analysis.grams import RUN
from rerank_search.types import Span

if TYPE_CHECKING:
    import regex

Terms: TypeAlias = Callable[[str], list[str]]
"""A function that gives the terms of a part of a document."""

_LONGEST_CHUNK = 200
"""Most characters between two spaces that are looked at as one, such as ``C++`` or ``e-mail``."""

_CHUNK = re.compile(r"\S+")
_MATCHED = re.compile(b"\1+")


def matches(text: str, terms: Terms, asked: Set[str]) -> list[Span]:
    """The parts of ``text`` whose terms are among ``asked``, the terms of a query, in order.

    They do not overlap. They are whole words; in scripts without spaces the characters that match,
    and where only a word with its marks matches (``C++``), that.
    """
    if not asked:
        return []
    matcher = _Matcher(terms, asked)
    spans: list[Span] = []
    for chunk in _CHUNK.finditer(text):
        start = chunk.start()
        spans.extend((start + first, start + end) for first, end in matcher.in_chunk(chunk[0]))
    return spans


class _Matcher:
    """Finds the terms of one query; looks at each word of a text once."""

    def __init__(self, terms: Terms, asked: Set[str]) -> None:
        self._terms = terms
        self._asked = asked
        unspaced = {sum(map(len, _unspaced(term))) for term in asked}
        self._sizes = sorted(size for size in unspaced if size)
        self.in_chunk = cache(self._in_chunk)
        self._found = cache(self._is_asked)

    def _is_asked(self, part: str) -> bool:
        return not self._asked.isdisjoint(self._terms(part))

    def _in_chunk(self, chunk: str) -> list[Span]:
        """The parts of a text without spaces that match."""
        short = len(chunk) <= _LONGEST_CHUNK
        if short and not self._found(chunk):
            return []
        spans = [
            (word.start() + first, word.start() + end)
            for word in _word().finditer(chunk)
            for first, end in self._in_word(word[0])
        ]
        return spans if spans or not short else [self._shortest(chunk)]

    def _in_word(self, word: str) -> Iterator[Span]:
        """The parts of a run of letters that match: all of it, but for scripts without spaces."""
        if not self._found(word):
            return
        end = 0
        for run in RUN.finditer(word):
            if end < run.start() and self._found(word[end : run.start()]):
                yield end, run.start()
            yield from self._in_run(word, *run.span())
            end = run.end()
        if end < len(word) and self._found(word[end:]):
            yield end, len(word)

    def _in_run(self, word: str, start: int, end: int) -> Iterator[Span]:
        """The shortest parts of a run without spaces that match; all of it if only that does."""
        matched = bytearray(len(word))
        for size in self._sizes:
            shorter = bytes(matched)
            for at in range(start, end - size + 1):
                if shorter.find(1, at, at + size) < 0 and self._found(word[at : at + size]):
                    matched[at : at + size] = b"\1" * size
        if 1 not in matched and self._found(word[start:end]):
            matched[start:end] = b"\1" * (end - start)
        for at in range(start, end):
            if _is_mark(word[at]):  # it belongs to the letter before
                matched[at] |= matched[max(at - 1, 0)]
        for at in reversed(range(start + 1, end)):
            if _is_mark(word[at]):
                matched[at - 1] |= matched[at]
        for part in _MATCHED.finditer(matched):
            yield part.span()

    def _shortest(self, chunk: str) -> Span:
        """The part of a chunk that still matches without the marks around it."""
        start, end = 0, len(chunk)
        while self._found(chunk[start + 1 : end]):
            start += 1
        while self._found(chunk[start : end - 1]):
            end -= 1
        return start, end


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _unspaced(term: str) -> list[str]:
    return [run[0] for run in RUN.finditer(term)]


@cache
def _word() -> regex.Pattern[str]:
    import regex  # takes 40 ms

    return regex.compile(r"[\p{L}\p{N}\p{M}\p{Default_Ignorable_Code_Point}]++")
