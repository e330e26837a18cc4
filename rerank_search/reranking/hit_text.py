"""The text of a hit that the second stage reads."""

from __future__ import annotations

from rerank_search.errors import InvalidInputError
from rerank_search.types import Hit

TITLE_CHARACTERS = 300
"""Characters of the title kept before a passage; more could push it out of the window."""


def passage(hit: Hit) -> str:
    """The text of a hit that is reranked: the title, a newline, the best passage."""
    document = hit.document
    if document is None:
        raise InvalidInputError(f"the hit {hit.id!r} has no document to rerank: fetch it first")
    if hit.span is None:
        title, text = document.title, document.text
    else:
        title, text = document.title[:TITLE_CHARACTERS], document.text[slice(*hit.span)]
    return f"{title}\n{text}" if title else text
