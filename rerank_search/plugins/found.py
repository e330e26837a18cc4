"""What a search has found, as the documents of every framework tell it."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import Any

from rerank_search.arguments import whole_number
from rerank_search.context import pack
from rerank_search.errors import FilterWarning, InvalidInputError
from rerank_search.shown import shown
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


def readable(document: Document, text: ReturnedText = "full") -> Document:
    """The document with something to read: its title, if it has no text of its own.

    With ``text`` "none" it stays without.
    """
    if document.text or text == "none":
        return document
    return replace(document, text=document.title)


def scores(response: SearchResponse) -> list[float]:
    """The probability of each hit if all have one, otherwise the scores they are sorted by.

    A hit that was not reranked in time has no probability. The two are never mixed, so the scores
    of a response always descend.
    """
    chances = [hit.relevance for hit in response.hits if hit.relevance is not None]
    if len(chances) == len(response.hits):
        return chances
    return [hit.score for hit in response.hits]


def context_size(tokens: object, text: ReturnedText) -> int | None:
    """``context_tokens`` as an int, or None for no context. Raises InvalidInputError.

    A context is made of whole documents, so it excludes another ``text`` than "full".
    """
    if tokens is None:
        return None
    size = whole_number("context_tokens", tokens)
    if text != "full":
        raise InvalidInputError(
            f"context_tokens={size} and text={shown(text)} exclude each other: leave one of them "
            "out"
        )
    return size


def in_context(response: SearchResponse, tokens: int) -> SearchResponse:
    """The response with the hits that its packed context has, each with its part as its text."""
    context = pack(response, tokens=tokens)
    blocks = {
        citation.id: block
        for citation, block in zip(context.citations, context.blocks, strict=True)
    }
    hits = [
        replace(
            hit,
            document=replace(found_document(hit), text=blocks[hit.id]),
            span=None,
            passages=(),
        )
        for hit in response.hits
        if hit.id in blocks
    ]
    return replace(response, hits=hits)


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
