"""Splitting of long documents into passages that fit the encoder's window."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from rerank_search.storage.boundaries import (
    CLAUSE_MARKS,
    LONGEST_CHARACTER,
    SENTENCE_END,
    cuts_character,
)
from rerank_search.types import Span

TokenOffsets = Callable[[str], "list[tuple[int, int]]"]
"""Function that gives start and end, in characters, of each token, without special tokens."""

SPECIAL_TOKENS = 2
"""Number of tokens that an encoder adds to a text: [CLS] and [SEP], or <s> and </s>."""

SHORTEST = 16
"""Fewest tokens of a passage; a shorter one says too little to be found."""

TITLE_TOKEN = 16
"""Most characters of an average title token before each passage.

A word of a million letters is one unknown token, and would be indexed again with each passage.
"""

TITLE_ALONE: Span = (0, 0)
"""The span of the passage that has the whole title, where the others have only its beginning."""


class Passages(BaseModel):
    """How long documents are split.

    ``tokens`` is the length of a passage with its title, in tokens of the encoder (without an
    encoder: words and punctuation marks, in Chinese characters); None takes the encoder's window,
    or 256. ``overlap`` is the most that two neighbours share, in the same unit; whole sentences are
    shared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: int | None = Field(default=None, ge=SHORTEST)
    overlap: int = Field(default=64, ge=0)


@dataclass(frozen=True, slots=True)
class Split:
    """The passages of one document.

    ``spans`` holds a single None for a document that fits, and nothing for one without text.
    ``head`` is the number of characters of the title before each passage's text.
    """

    spans: list[Span | None]
    head: int


class Splitter:
    """Splits documents at sentence boundaries, with overlap.

    A sentence that is longer than the window is cut between words or clauses, or between tokens if
    it has none; letters keep their marks. A title may take a quarter of the window; a longer one is
    cut there (earlier if its words are very long), and the whole title becomes a separate passage
    (with the empty span), so that every word of it can be found.
    """

    def __init__(self, offsets: TokenOffsets, *, tokens: int, overlap: int) -> None:
        self._offsets = offsets
        self._window = tokens - SPECIAL_TOKENS
        self._overlap = min(overlap, self._window // 2)

    def split(self, title: str, text: str) -> Split:
        """The passages of a document; together they have every character but white space."""
        if not text.strip():
            return whole(title, text)
        # No token is shorter than a byte, so short texts need no tokenizer.
        if len(title.encode()) + len(text.encode()) <= self._window:
            return whole(title, text)
        named = self._offsets(title) if title else []
        tokens = self._offsets(text)
        if len(named) + len(tokens) <= self._window or not tokens:
            return whole(title, text)
        most = max(1, self._window // 4)
        head = _head(title, named, most)
        spans: list[Span | None] = [] if head == len(title) else [TITLE_ALONE]
        spans.extend(self._spans(text, tokens, self._window - min(len(named), most)))
        return Split(spans, head)

    def _spans(self, text: str, tokens: list[tuple[int, int]], most: int) -> list[Span]:
        cuts = _Cuts(text, tokens)
        overlap = min(self._overlap, most // 2)
        spans: list[Span] = []
        first, last = 0, len(tokens)
        while True:
            end = last if last - first <= most else cuts.end(first, first + most)
            begin = tokens[first][0] if spans else 0
            spans.append(_trimmed(text, begin, tokens[end][0] if end < last else len(text)))
            if end == last:
                return spans
            first = cuts.start(first, end, overlap, most)


class _Cuts:
    """The tokens of a text at which passages begin and end."""

    def __init__(self, text: str, tokens: list[tuple[int, int]]) -> None:
        starts = [start for start, _ in tokens]
        self._text = text
        self._tokens = tokens
        ends = [match.end() for match in SENTENCE_END.finditer(text)]
        self._sentences = sorted({bisect_left(starts, end) for end in ends})

    def end(self, first: int, limit: int) -> int:
        """The token after a passage: the last sentence boundary that fits, else a word boundary."""
        at = bisect_right(self._sentences, limit) - 1
        if at >= 0 and self._sentences[at] > first:
            return self._sentences[at]
        return self._between_words(limit, (first + limit + 1) // 2)

    def start(self, first: int, end: int, overlap: int, most: int) -> int:
        """The first token of the next passage."""
        sentences = self._sentences
        earliest = max(end - overlap, first + 1)
        at = bisect_left(sentences, earliest)
        if at < len(sentences) and sentences[at] <= end:
            after = bisect_right(sentences, end)
            following = sentences[after] if after < len(sentences) else len(self._tokens)
            # Shared sentences must not push the next one past the end of the passage.
            return sentences[at] if following - sentences[at] <= most else end
        return self._between_words(earliest, first + 1)  # in the middle of a long sentence

    def _between_words(self, at: int, least: int) -> int:
        """The nearest token from ``least`` to ``at`` that starts a word or clause.

        Without one, the nearest that starts a character; without that, ``at``.
        """
        for token in range(at, least - 1, -1):
            start = self._tokens[token][0]
            word = start > self._tokens[token - 1][1] or self._text[start - 1] in CLAUSE_MARKS
            if word and not cuts_character(self._text, start):
                return token
        near = range(at, max(least, at - LONGEST_CHARACTER) - 1, -1)
        return next((n for n in near if not cuts_character(self._text, self._tokens[n][0])), at)


def _head(title: str, tokens: list[tuple[int, int]], most: int) -> int:
    """Characters of a title to put before each passage: at most ``most`` tokens, not too long."""
    longest = most * TITLE_TOKEN
    if len(tokens) <= most and len(title) <= longest:
        return len(title)
    ends = (end for _, end in reversed(tokens[:most]) if end <= longest)
    return next((end for end in ends if not cuts_character(title, end)), 0)


def whole(title: str, text: str) -> Split:
    """The document as its own passage; no passage if there is nothing to find."""
    return Split([None] if title.strip() or text.strip() else [], len(title))


def passage_text(title: str, head: int, text: str, span: Span | None) -> str:
    """The text that engines index: the title, a newline, and the passage."""
    body = text if span is None else text[span[0] : span[1]]
    if span == TITLE_ALONE:
        return title
    return f"{title[:head]}\n{body}" if title else body


def title_part(title: str, head: int, span: Span | None) -> str:
    """The part of a passage's text that is the document's title."""
    return title if span == TITLE_ALONE else title[:head]


def _trimmed(text: str, start: int, end: int) -> Span:
    stretch = text[start:end]
    start += len(stretch) - len(stretch.lstrip())
    return start, start + len(stretch.strip())
