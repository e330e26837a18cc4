"""How the hits of a search are shown to a model: passages with their neighbourhood, or one text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rerank_search.context import Context, pack
from rerank_search.plugins.found import found_document
from rerank_search.plugins.mcp import catalog
from rerank_search.plugins.mcp.answers import Excerpt, PassageHit
from rerank_search.plugins.mcp.links import Links, public_id
from rerank_search.types import Document, Hit, Span

LONGEST_PASSAGE = 4_000
"""Most characters of a passage of a document that the index has not split."""


def passage_hit(links: Links, index: str, hit: Hit, neighbourhood: int) -> PassageHit:
    """The best passage of a hit, and its other ones, each with so many characters around it."""
    document = found_document(hit)
    best, *others = [each.span for each in hit.passages] if hit.passages else [hit.span]
    return PassageHit(
        id=public_id(index, hit.id),
        title=catalog.title(document),
        url=links.url(index, document),
        **_excerpt(document, best, neighbourhood),
        score=hit.score,
        relevance=hit.relevance,
        further=[Excerpt(**_excerpt(document, each, neighbourhood)) for each in others] or None,
        duplicates=[public_id(index, id) for id in hit.duplicates] or None,
        metadata=dict(document.metadata) or None,
    )


def packed(links: Links, hits: Sequence[tuple[str, Hit]], tokens: int) -> Context:
    """The passages of the hits as one text of at most so many tokens."""
    urls: dict[str, str] = {}
    given: list[Hit] = []
    for rank, (index, hit) in enumerate(hits, start=1):
        document, public = found_document(hit), public_id(index, hit.id)
        urls[public] = links.url(index, document)
        given.append(replace(hit, id=public, rank=rank, document=replace(document, id=public)))
    return pack(given, tokens=tokens, url=lambda document: urls[document.id])


def _excerpt(document: Document, span: Span | None, neighbourhood: int) -> dict[str, Any]:
    """The fields of an Excerpt."""
    start, end = span or (0, min(len(document.text), LONGEST_PASSAGE))
    return {
        "before": document.text[max(0, start - neighbourhood) : start],
        "passage": document.text[start:end] or document.title,
        "after": document.text[end : end + neighbourhood],
        "span": [start, end],
    }
