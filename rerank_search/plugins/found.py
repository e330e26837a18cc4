"""What a search has found, as the documents of every framework tell it."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from rerank_search.errors import FilterWarning
from rerank_search.types import Document, Hit, ReturnedText, SearchResponse

logger = logging.getLogger(__name__)


def tell(response: SearchResponse) -> None:
    """Issue the response's warnings about the filter, and log why it was not reranked."""
    for message in response.warnings:
        warnings.warn(message, FilterWarning, stacklevel=2)
    if response.degraded is not None:
        logger.warning("the first stage's ranking is returned: %s", response.degraded)


def found_document(hit: Hit, text: ReturnedText = "full") -> Document:
    """The document of a hit, with the text that is asked for."""
    return hit.with_text(text).document or Document(hit.id, "")


def scores(response: SearchResponse) -> list[float]:
    """The probability of each hit if all have one, otherwise the scores they are sorted by.

    A hit that was not reranked in time has no probability. The two are never mixed, so the scores
    of a response always descend.
    """
    chances = [hit.relevance for hit in response.hits if hit.relevance is not None]
    if len(chances) == len(response.hits):
        return chances
    return [hit.score for hit in response.hits]


def further(hit: Hit) -> dict[str, Any]:
    """``passages`` and ``duplicates`` of a hit as JSON, if the search asked for them."""
    found: dict[str, Any] = {}
    if hit.passages:
        found["passages"] = [
            {
                "text": each.text,
                "span": None if each.span is None else list(each.span),
                "relevance_score": each.score if each.relevance is None else each.relevance,
            }
            for each in hit.passages
        ]
    if hit.duplicates:
        found["duplicates"] = list(hit.duplicates)
    return found
