"""All indexes as one collection: searched together, and documents by their ids."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rerank_search.errors import IndexNotFoundError, RerankSearchError
from rerank_search.plugins.mcp.answers import IndexDescription
from rerank_search.plugins.mcp.links import parts_of
from rerank_search.plugins.mcp.offer import Offer
from rerank_search.serving.errors import ApiError, reported
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.shown import LONGEST, shown
from rerank_search.types import Document, Hit, JsonValue, SearchResponse

SAMPLED = 20
"""Number of documents that are read to describe an index."""

EXAMPLES = 5
"""Number of titles in the description of an index."""

KEYS = 50
"""Largest number of metadata keys in the description of an index."""

TITLE = 120
"""Most characters of a title."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits of one or more indexes, each with its index, the best first."""

    hits: Sequence[tuple[str, Hit]]
    reranked: bool
    warnings: Sequence[str]


def found(
    offer: Offer, index: str, query: str, options: Mapping[str, Any], ongoing: OngoingSearch
) -> Hits:
    """The best hits in an index, or for an empty name in all of them.

    Of several indexes, one that cannot be searched is named in the warnings. Raises what the
    search of a single index raises, also if none of several can be searched.
    """
    names = offer.names() if index == "" else [index]
    results: dict[str, SearchResponse] = {}
    warnings: list[str] = []
    failed: RerankSearchError | None = None
    for name in names:
        try:
            response = offer.search(name, query, options, ongoing)
        except RerankSearchError as error:
            known = reported(error, f"the search of {name}")
            of_this_index = known.status >= 500 or isinstance(error, IndexNotFoundError)
            if len(names) == 1 or not of_this_index:
                raise
            failed = error
            warnings.append(f"the index {shown(name)} was not searched: {known}")
            continue
        results[name] = response
        told = [*response.warnings]
        if response.degraded is not None:
            told.append(f"the hits are not reranked: {response.degraded}")
        warnings += told if len(names) == 1 else [f"in the index {name}: {each}" for each in told]
    if failed is not None and not results:
        raise failed
    return _merged(results, warnings, options["top_k"])


def document(offer: Offer, public: str) -> tuple[str, Document]:
    """The index and the document of a public id. Raises ApiError 404, and what the index raises."""
    name, id = parts_of(public)
    found = offer.document(name, id)
    if found is None:
        raise ApiError(
            404,
            "not_found",
            f"there is no document {shown(public)}: it was deleted, or the id is not one that "
            "search returned",
        )
    return name, found


def title(document: Document) -> str:
    """The title of a document, or the beginning of its text, or its id."""
    words = " ".join((document.title.strip() or document.text[: 4 * TITLE]).split())
    return (words if len(words) <= TITLE else f"{words[:TITLE].rstrip()}...") or document.id


def description(offer: Offer, name: str) -> IndexDescription:
    """What an index holds, and examples of it."""
    held = offer.holding(name, SAMPLED)
    metadata: dict[str, JsonValue] = {}
    for each in reversed(held.sample):
        metadata |= each.metadata
    keys = sorted(metadata)[:KEYS]
    return IndexDescription(
        name=name,
        documents=held.documents,
        first_stages=list(held.first_stages),
        examples=[title(each) for each in held.sample[:EXAMPLES]],
        metadata={key: _short(metadata[key]) for key in keys},
    )


def _short(value: JsonValue) -> JsonValue:
    """The value, or the beginning of a long one as text."""
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _merged(results: Mapping[str, SearchResponse], warnings: list[str], top_k: int) -> Hits:
    """The hits of several rankings as one.

    Reranked scores are estimates of the same odds, so they are compared; without them, the ranks
    are.
    """
    reranked = [each.reranked for each in results.values() if each.hits]
    compares = bool(reranked) and all(reranked)
    hits = [(name, hit) for name, each in results.items() for hit in each.hits]
    hits.sort(key=lambda pair: (-pair[1].score if compares else pair[1].rank, pair[0], pair[1].id))
    return Hits(hits[:top_k], compares, warnings)
