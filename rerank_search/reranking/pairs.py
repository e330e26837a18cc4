"""(query, text) pairs as tokens that fit a model's window."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import several
from rerank_search.errors import InvalidInputError
from rerank_search.remembered import Remembered, key_of
from rerank_search.reranking.tokens import Sample, Text, Tokens, text_tokenizer
from rerank_search.types import Span

EVERYTHING = sys.maxsize
"""A number of tokens that no text exceeds."""

TEXTS_REMEMBERED = 20_000
"""Number of texts whose tokens are kept in memory: about 10 MB for usual passages."""

QUERY_SHARE = 0.75
"""Share of the window that a query may always fill; a longer one also gets what the text leaves."""

WINDOW_OVERLAP = 0.25
"""Share of a window that the next window repeats."""


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """One input of the model. ``span`` is its range of the text's characters, None for all."""

    ids: Tokens
    types: Tokens
    truncated: bool
    span: Span | None = None


class PairTokenizer:
    """Tokenises each distinct text once, and lays pairs out as the model's tokenizer would.

    Pairs above the window are cut at the side where the tokenizer cuts. Threads may share one.
    """

    def __init__(self, tokenizer: Any, window: int) -> None:
        self._tokenizer = text_tokenizer(tokenizer)
        self._fast = bool(tokenizer.is_fast)
        self._cuts_left = tokenizer.truncation_side == "left"
        self._layout = _Layout(self._tokenizer.sample())
        self._compact = np.uint16 if self._tokenizer.size <= 2**16 else np.int32
        self._known: Remembered[bytes, Tokens] = Remembered(TEXTS_REMEMBERED)
        self.room = window - self._layout.specials
        if self.room < 2:
            raise InvalidInputError(
                f"max_length={window} leaves no room for a query and a text: use a larger one"
            )

    def share_texts(self, other: PairTokenizer) -> None:
        """Share remembered tokens with ``other`` if both tokenise every text in the same way."""
        mine = (self._tokenizer.identity, self._cuts_left, self.room)
        if mine == (other._tokenizer.identity, other._cuts_left, other.room):
            self._known = other._known

    def encode(
        self, pairs: Sequence[tuple[str, str]], *, prompt: str = "", longest_first: bool = False
    ) -> list[EncodedPair]:
        """Each pair, with its text cut to the room that the query leaves in the window.

        ``prompt`` stands before every query, and counts as a part of it. ``longest_first`` cuts the
        longer of the two instead, as transformers does by default and sentence-transformers always
        does.
        """
        pairs = self._prompted(pairs, prompt, fits=not longest_first)
        queries = self._kept([query for query, _ in pairs])
        texts = self._remembered([text for _, text in pairs])
        encoded = []
        for query, text in pairs:
            left, right = queries[query], texts[text]
            sizes = len(left), len(right)
            if longest_first and min(sizes) > self.room:  # cutting then depends on which is longer
                both = self._tokenizer.beginnings((query, text), EVERYTHING)
                sizes = len(both[0]), len(both[1])
            kept, rest = (self._shares if longest_first else self._query_first)(*sizes)
            cut = kept < len(left) or rest < len(right)
            encoded.append(self._layout.pair(self._cut(left, kept), self._cut(right, rest), cut))
        return encoded

    def windows(
        self, pairs: Sequence[tuple[str, str]], *, prompt: str = ""
    ) -> list[list[EncodedPair]]:
        """Each pair as overlapping windows over its text; one window without a span if it fits."""
        pairs = self._prompted(pairs, prompt, fits=True)
        queries = self._kept([query for query, _ in pairs])
        distinct = list(dict.fromkeys(text for _, text in pairs))
        texts = dict(zip(distinct, self._tokenizer.texts(distinct), strict=True))
        return [self._windows(queries[query], texts[text]) for query, text in pairs]

    def _windows(self, query: Tokens, text: Text) -> list[EncodedPair]:
        kept, size = self._query_first(len(query), len(text.ids))
        cut = kept < len(query)
        query = self._cut(query, kept)
        if len(text.ids) <= size:
            return [self._layout.pair(query, text.ids, cut)]
        windows = []
        for start in window_starts(len(text.ids), size):
            end = start + size
            span = (text.offsets[start][0], text.offsets[end - 1][1])
            windows.append(self._layout.pair(query, text.ids[start:end], cut, span))
        return windows

    def tokens_of(self, texts: Sequence[str]) -> list[Text]:
        """All tokens of each text. Raises InvalidInputError for a tokenizer without positions."""
        return self._tokenizer.texts(texts)

    def _prompted(
        self, pairs: Sequence[tuple[str, str]], prompt: str, *, fits: bool
    ) -> Sequence[tuple[str, str]]:
        """The pairs with the prompt. ``fits`` raises InvalidInputError for a too long prompt."""
        if not prompt:
            return pairs
        taken = len(self._kept([prompt])[prompt])
        if fits and taken >= int(self.room * QUERY_SHARE):
            raise InvalidInputError(
                f"a prompt of {taken} tokens or more leaves no room for a query in a window that "
                f"has room for {self.room}: use a shorter prompt, or a larger max_length"
            )
        return [(f"{prompt}{query}", text) for query, text in pairs]

    def _remembered(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """Tokens of the distinct texts, kept because the same documents come back often."""
        keys = {text: key_of(text) for text in dict.fromkeys(texts)}
        known = self._known.known(keys.values())
        new = self._kept([text for text, key in keys.items() if key not in known])
        self._known.remember(
            {keys[text]: found.astype(self._compact) for text, found in new.items()}
        )
        return {text: known[key] if key in known else new[text] for text, key in keys.items()}

    def _kept(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """Tokens of the distinct texts, as many as the model may read and one more.

        The one more shows that a text is cut; further tokens would only take memory.
        """
        distinct = list(dict.fromkeys(texts))
        wanted = self.room + 1
        if not self._cuts_left:
            found = self._tokenizer.beginnings(distinct, wanted)
            return {text: ids[:wanted] for text, ids in zip(distinct, found, strict=True)}
        found = self._tokenizer.beginnings(distinct, EVERYTHING)
        return {text: ids[-wanted:] for text, ids in zip(distinct, found, strict=True)}

    def _cut(self, ids: Tokens, size: int) -> Tokens:
        return ids[max(len(ids) - size, 0) :] if self._cuts_left else ids[:size]

    def _query_first(self, query: int, text: int) -> tuple[int, int]:
        kept = tokens_of_query(query, text, self.room)
        return kept, self.room - kept

    def _shares(self, query: int, text: int) -> tuple[int, int]:
        """How many tokens are read if the longer one is cut until both are equally long."""
        if query + text <= self.room:
            return query, text
        half = self.room // 2
        odd = self.room - half
        if min(query, text) <= half:
            return (query, self.room - query) if query <= text else (self.room - text, text)
        # The two kinds of tokenizers give an odd token to different sides.
        query_is_longer = query > text if self._fast else True
        return (odd, half) if query_is_longer else (half, odd)


def tokens_of_query(query: int, text: int, room: int) -> int:
    """How many tokens of a query are read; the text gets what they leave of the room."""
    return min(query, max(int(room * QUERY_SHARE), room - text))


def window_starts(tokens: int, size: int) -> list[int]:
    """The first tokens of the windows over a text that is longer than one of them."""
    stride = max(size - int(size * WINDOW_OVERLAP), 1)
    last = tokens - size
    # The last window ends with the text, so that none is a short leftover.
    return [*range(0, last, stride), last]


class _Layout:
    """The special tokens and types that a tokenizer puts around the two sides of a pair."""

    def __init__(self, sample: Sample) -> None:
        ids, types, sides = sample
        query, text = np.flatnonzero(sides == 0), np.flatnonzero(sides == 1)
        parts = (slice(0, query[0]), slice(query[-1] + 1, text[0]), slice(text[-1] + 1, None))
        self._before, self._between, self._after = (ids[part] for part in parts)
        self._before_types, self._between_types, self._after_types = (types[part] for part in parts)
        self._query_type, self._text_type = types[query[0]], types[text[0]]
        self.specials = int(np.count_nonzero(sides == -1))

    def pair(
        self, query: Tokens, text: Tokens, truncated: bool, span: Span | None = None
    ) -> EncodedPair:
        ids = np.concatenate([self._before, query, self._between, text, self._after])
        types = np.concatenate(
            [
                self._before_types,
                np.full(len(query), self._query_type),
                self._between_types,
                np.full(len(text), self._text_type),
                self._after_types,
            ]
        )
        return EncodedPair(ids, types, truncated, span)


def checked_pairs(pairs: Sequence[Any]) -> list[tuple[str, str]]:
    """The pairs as tuples of strings; InvalidInputError for the first one that is not."""
    found = []
    for position, pair in enumerate(several("pairs", pairs, one="(query, text) pairs")):
        if (
            not isinstance(pair, (tuple, list))
            or len(pair) != 2
            or not all(isinstance(side, str) for side in pair)
        ):
            raise InvalidInputError(
                f"pair {position} is {pair!r:.200}: give a query and a text, both strings"
            )
        query, text = pair
        for side in (query, text):
            try:
                side.encode()
            except UnicodeEncodeError as error:
                raise InvalidInputError(
                    f"pair {position} contains a lone surrogate at character {error.start}, which "
                    "UTF-8 cannot encode: replace it, for example by "
                    "text.encode(errors='replace').decode()"
                ) from error
        found.append((query, text))
    return found


def distinct_pairs(
    pairs: Sequence[tuple[str, str]],
) -> tuple[list[tuple[str, str]], NDArray[np.int64]]:
    """The distinct pairs, and where each of ``pairs`` is among them."""
    positions: dict[tuple[str, str], int] = {}
    for pair in pairs:
        positions.setdefault(pair, len(positions))
    return list(positions), np.array([positions[pair] for pair in pairs], dtype=np.int64)
