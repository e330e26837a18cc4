"""(query, text) pairs as tokens that fit a model's window; only the text is cut, and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.models.beginnings import completed, first_characters, longest_word_of
from rerank_search.reranking.remembered import Remembered, key_of
from rerank_search.types import Span

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Tokens = NDArray[np.integer[Any]]

TEXTS_REMEMBERED = 20_000
"""Whose tokens are kept: some 10 MB of usual passages."""

QUERY_SHARE = 0.75
"""A query keeps all its tokens up to this share of the window; beyond it, what the text leaves."""

WINDOW_OVERLAP = 0.25
"""Share of a window that the next one repeats."""


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """One input of the model. ``span`` are the text's characters in it, None for a whole text."""

    ids: Tokens
    types: Tokens
    truncated: bool
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class _Text:
    ids: Tokens
    offsets: Sequence[Span]


class PairTokenizer:
    """Tokenises each distinct text once, and lays pairs out as the model's tokenizer would.

    Works on a copy of the tokenizer that nothing ever changes, so that threads may share it
    (a tokenizer whose truncation is set anew per call fails with "Already borrowed").
    """

    def __init__(self, tokenizer: Any, window: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._longest_word = longest_word_of(self._tokenizer)
        self._layout = _Layout(self._tokenizer)
        small = self._tokenizer.get_vocab_size() <= 2**16
        self._compact = np.uint16 if small else np.int32
        self._known: Remembered[bytes, Tokens] = Remembered(TEXTS_REMEMBERED)
        self.room = window - self._layout.specials
        if self.room < 2:
            raise InvalidInputError(
                f"max_length={window} leaves no room for a query and a text; use a larger one"
            )

    def share_texts(self, other: PairTokenizer) -> None:
        """Keep tokens of texts together with ``other``, where both make the same of every text."""
        if (self._tokenizer.to_str(), self.room) == (other._tokenizer.to_str(), other.room):
            self._known = other._known

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[EncodedPair]:
        """Each pair, its text cut to what the query leaves of the window."""
        queries = self._texts([query for query, _ in pairs], whole=False)
        texts = self._remembered([text for _, text in pairs])
        encoded = []
        for query, text in pairs:
            left, right = queries[query].ids, texts[text]
            kept = self._query_length(len(left), len(right))
            cut = kept < len(left) or self.room - kept < len(right)
            encoded.append(self._layout.pair(left[:kept], right[: self.room - kept], cut))
        return encoded

    def windows(self, pairs: Sequence[tuple[str, str]]) -> list[list[EncodedPair]]:
        """Each pair as overlapping windows over its text; one, without a span, if it fits."""
        queries = self._texts([query for query, _ in pairs], whole=False)
        texts = self._texts([text for _, text in pairs], whole=True)
        return [self._windows(queries[query].ids, texts[text]) for query, text in pairs]

    def _windows(self, query: Tokens, text: _Text) -> list[EncodedPair]:
        kept = self._query_length(len(query), len(text.ids))
        size = self.room - kept
        cut = kept < len(query)
        if len(text.ids) <= size:
            return [self._layout.pair(query[:kept], text.ids, cut)]
        stride = max(size - int(size * WINDOW_OVERLAP), 1)
        last = len(text.ids) - size
        # The last window ends with the text, so that none is a short leftover.
        starts = [*range(0, last, stride), last]
        windows = []
        for start in starts:
            end = start + size
            span = (text.offsets[start][0], text.offsets[end - 1][1])
            windows.append(self._layout.pair(query[:kept], text.ids[start:end], cut, span))
        return windows

    def _remembered(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """Tokens of the distinct texts, which of an index's documents come again and again."""
        keys = {text: key_of(text) for text in dict.fromkeys(texts)}
        known = self._known.known(keys.values())
        new = self._texts([text for text, key in keys.items() if key not in known], whole=False)
        # One token above the room tells that a text is cut; more would only take memory.
        self._known.remember(
            {
                keys[text]: found.ids[: self.room + 1].astype(self._compact)
                for text, found in new.items()
            }
        )
        return {text: known[key] if key in known else new[text].ids for text, key in keys.items()}

    def _query_length(self, query: int, text: int) -> int:
        return min(query, max(int(self.room * QUERY_SHARE), self.room - text))

    def _texts(self, texts: Sequence[str], *, whole: bool) -> dict[str, _Text]:
        """Tokens of the distinct texts; those beyond the window may be missing if not ``whole``."""
        distinct = list(dict.fromkeys(texts))
        if whole:
            encodings = self._tokenizer.encode_batch(distinct, add_special_tokens=False)
        else:
            encodings = self._beginnings(distinct)
        found = {}
        for text, encoding in zip(distinct, encodings, strict=True):
            offsets = encoding.offsets if whole else ()
            found[text] = _Text(np.asarray(encoding.ids, dtype=np.int64), offsets)
        return found

    def _beginnings(self, texts: Sequence[str]) -> list[Encoding]:
        """Enough tokens of each text to fill the window, and one more where there are more."""
        wanted = self.room + 1
        heads = [first_characters(text, wanted) for text in texts]
        # The fast one leaves out where each token is.
        encodings = self._tokenizer.encode_batch_fast(heads, add_special_tokens=False)
        return [
            completed(text, head, encoding, wanted, self._encoding, self._longest_word)[1]
            for text, head, encoding in zip(texts, heads, encodings, strict=True)
        ]

    def _encoding(self, text: str) -> Encoding:
        return self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]


class _Layout:
    """Where a tokenizer puts its special tokens and types around the two sides of a pair."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        sample = tokenizer.encode("a", "a")
        sides = np.array([-1 if side is None else side for side in sample.sequence_ids])
        ids, types = np.array(sample.ids), np.array(sample.type_ids)
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
    for position, pair in enumerate(pairs):
        if (
            not isinstance(pair, (tuple, list))
            or len(pair) != 2
            or not all(isinstance(side, str) for side in pair)
        ):
            raise InvalidInputError(f"pair {position} is not two strings: {pair!r:.200}")
        query, text = pair
        for side in (query, text):
            try:
                side.encode()
            except UnicodeEncodeError as error:
                raise InvalidInputError(
                    f"pair {position} has a lone surrogate at character {error.start}; remove it, "
                    "for example with text.encode(errors='replace').decode()"
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
