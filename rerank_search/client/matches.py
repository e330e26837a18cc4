"""Calls that ask where in texts the words of a query stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rerank_search.client.call import Call, path_of_index, post
from rerank_search.queries import check_text, text_list
from rerank_search.types import Span

TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 1_000, 1_000_000
"""Most texts in a request, and most characters of them together: the server's limits."""


def matches(
    index: str | None, query: str, texts: Iterable[str]
) -> Iterator[Call[list[list[Span]]]]:
    """The spans in the texts, some texts in each call. Raises InvalidInputError."""
    path = f"{path_of_index(index)}/matches"
    check_text(query, "the query")
    for part in _parts(text_list(texts)):
        yield post(path, {"query": query, "texts": part}, _spans)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        if part and (len(part) == TEXTS_AT_ONCE or size + len(text) > CHARACTERS_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield part


def _spans(answer: Any) -> list[list[Span]]:
    return [[(start, end) for start, end in spans] for spans in answer["matches"]]
