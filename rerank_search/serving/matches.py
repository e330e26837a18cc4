"""Where in the titles and texts of an answer the words of the query stand."""

from __future__ import annotations

from rerank_search.searchable import Searchable
from rerank_search.searchable import matches as matched
from rerank_search.serving.schemas.search import FoundMatches, SearchRequest
from rerank_search.types import Hit, SearchResponse, Span

MOST = 100_000
"""Most characters of a text in which words are looked for; of a longer one, its best passage."""


def matches(
    index: Searchable, response: SearchResponse, asked: SearchRequest
) -> dict[str, FoundMatches]:
    """The matches of each hit with its document, by the hit's id."""
    hits = [hit.with_text(asked.text) for hit in response.hits if hit.document is not None]
    texts = [_looked_at(hit) for hit in hits]
    titles = [hit.document.title if hit.document else "" for hit in hits]
    in_titles = matched(index, response.query, titles)
    in_texts = matched(index, response.query, [text for _, text in texts])
    return {
        hit.id: FoundMatches(title=title, text=_moved(spans, start))
        for hit, title, (start, _), spans in zip(hits, in_titles, texts, in_texts, strict=True)
    }


def _looked_at(hit: Hit) -> tuple[int, str]:
    """The part of a hit's text in which words are looked for, and where it starts."""
    text = hit.document.text if hit.document else ""
    start, end = hit.span or (0, MOST)
    if len(text) <= MOST or end > len(text):
        return 0, text[:MOST]
    return start, text[start:end][:MOST]


def _moved(spans: list[Span], by: int) -> list[Span]:
    return [(start + by, end + by) for start, end in spans]
