"""(query, text) pairs in a model's chat template, as tokens that fit its window."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.loading import RAGGED
from rerank_search.reranking.pairs import EncodedPair, tokens_of_query, window_starts
from rerank_search.reranking.tokens import FastTextTokenizer, Text
from rerank_search.types import Span

LEAST_ROOM = 8
"""Fewest tokens that the template has to leave for query and text."""

_UNCUT = {**RAGGED, "chat_template": {**RAGGED["chat_template"], "truncation": False}}


class ChatPairs:
    """Lays pairs out with sentence-transformers, which fills the model's chat template.

    A template may put anything around a query and a text, whose tokens may merge with those beside
    them. So a pair above the window is laid out again, with a shorter text. Threads may share one;
    ``lock`` is held while it uses the model's tokenizer, which is not thread-safe.
    ``takes_instructions`` is True if the template has a place for one. Raises InvalidInputError for
    a window that the template fills.
    """

    def __init__(
        self, name: str, transformer: Any, window: int, lock: AbstractContextManager[Any]
    ) -> None:
        tokenizer = transformer.tokenizer
        if not tokenizer.is_fast:
            raise InvalidInputError(
                f"the model {name!r} has a chat template and a tokenizer written in Python "
                f"({type(tokenizer).__name__}), which are not supported together: use "
                "sentence_transformers.CrossEncoder for it"
            )
        self._name = name
        self._transformer = transformer
        self._window = window
        self._texts = FastTextTokenizer(tokenizer)
        self._cuts_left = tokenizer.truncation_side == "left"
        self._lock = lock
        sample = [("a", "b")]
        self.takes_instructions = self._laid_out(sample, "c") != self._laid_out(sample)
        self._room("")

    def encode(
        self, pairs: Sequence[tuple[str, str]], *, prompt: str = "", longest_first: bool = False
    ) -> list[EncodedPair]:
        """Each pair, with its text cut to the room that the query leaves in the window.

        ``prompt`` is the template's system message. ``longest_first`` cuts as sentence-transformers
        does: what the template made, at its end, whose fixed tokens are put back.
        """
        pairs = [(self._beginning(query), self._beginning(text)) for query, text in pairs]
        found = self._laid_out(pairs, prompt)
        long = [place for place, ids in enumerate(found) if len(ids) > self._window]
        cut = (
            self._laid_out([pairs[place] for place in long], prompt, cut=True)
            if longest_first
            else [self._fitted(*pairs[place], len(found[place]), prompt) for place in long]
        )
        shorter = dict(zip(long, cut, strict=True))
        return [_pair(shorter.get(i, ids), i in shorter) for i, ids in enumerate(found)]

    def windows(
        self, pairs: Sequence[tuple[str, str]], *, prompt: str = ""
    ) -> list[list[EncodedPair]]:
        """Each pair as overlapping windows over its text; one window without a span if it fits."""
        return [
            [_pair(ids)] if len(ids) <= self._window else self._windows(query, text, prompt)
            for (query, text), ids in zip(pairs, self._laid_out(pairs, prompt), strict=True)
        ]

    def tokens_of(self, texts: Sequence[str]) -> list[Text]:
        """All tokens of each text."""
        return self._texts.texts(texts)

    def _windows(self, query: str, text: str, prompt: str) -> list[EncodedPair]:
        asked, read = self._texts.texts([query, text])
        room = self._room(prompt)
        kept = tokens_of_query(len(asked.ids), len(read.ids), room)
        cut = kept < len(asked.ids)
        query = self._part(query, asked, kept)
        size = room - kept
        while len(read.ids) > size:
            spans = [
                (read.offsets[start][0], read.offsets[start + size - 1][1])
                for start in window_starts(len(read.ids), size)
            ]
            found = self._laid_out([(query, text[start:end]) for start, end in spans], prompt)
            over = max(map(len, found)) - self._window
            if over <= 0:
                return [_pair(ids, cut, span) for ids, span in zip(found, spans, strict=True)]
            size -= over
            if size < 1:
                raise self._too_small(room, prompt)
        [ids] = self._laid_out([(query, text)], prompt)
        return [_pair(self._fitted(query, text, len(ids), prompt), cut)]

    def _fitted(self, query: str, text: str, tokens: int, prompt: str) -> list[int]:
        """The tokens of a pair that has ``tokens`` of them, cut to the window."""
        asked, read = self._texts.texts([query, text])
        kept = tokens_of_query(len(asked.ids), len(read.ids), self._room(prompt))
        size = len(read.ids) - (tokens - (len(asked.ids) - kept) - self._window)
        while True:
            pair = self._part(query, asked, kept), self._part(text, read, size)
            [ids] = self._laid_out([pair], prompt)
            over = len(ids) - self._window
            if over <= 0:
                return ids
            if size <= 0:
                kept -= over
            size -= over

    def _part(self, text: str, tokens: Text, size: int) -> str:
        """The part of a text that its first tokens stand for, or its last ones."""
        if size >= len(tokens.ids):
            return text
        if size <= 0:
            return ""
        if self._cuts_left:
            return text[tokens.offsets[-size][0] :]
        return text[: tokens.offsets[size - 1][1]]

    def _beginning(self, text: str) -> str:
        """As much of a text as the window may hold."""
        return text if self._cuts_left else self._texts.beginning(text, self._window)

    def _room(self, prompt: str) -> int:
        """The number of tokens that the template leaves for query and text."""
        [frame] = self._laid_out([("", "")], prompt)
        room = self._window - len(frame)
        if room < LEAST_ROOM:
            raise self._too_small(room, prompt)
        return room

    def _too_small(self, room: int, prompt: str) -> InvalidInputError:
        what = "its chat template with this instruction" if prompt else "its chat template"
        return InvalidInputError(
            f"max_length={self._window} is too small for the model {self._name!r}: {what} leaves "
            f"{max(room, 0)} tokens for a query and a text. Use a larger one"
            f"{', or a shorter instruction' if prompt else ''}"
        )

    def _laid_out(
        self, pairs: Sequence[tuple[str, str]], prompt: str = "", *, cut: bool = False
    ) -> list[list[int]]:
        """The tokens of each pair in the template; ``cut`` as sentence-transformers cuts them."""
        if not pairs:
            return []
        with self._lock:
            found = self._transformer.preprocess(
                list(pairs), prompt=prompt or None, processing_kwargs=RAGGED if cut else _UNCUT
            )
        ids: list[list[int]] = found["input_ids"]
        return ids


def _pair(ids: Sequence[int], truncated: bool = False, span: Span | None = None) -> EncodedPair:
    tokens = np.asarray(ids, dtype=np.int64)
    return EncodedPair(tokens, np.zeros_like(tokens), truncated, span)
