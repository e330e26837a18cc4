"""Calls that search, and their answers as SearchResponses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, get_args

from rerank_search.client.call import Call, check_filter, in_parts, post
from rerank_search.errors import InvalidInputError
from rerank_search.options import SearchOptions
from rerank_search.queries import query_list
from rerank_search.shown import shown
from rerank_search.types import (
    Document,
    FoundPassage,
    Hit,
    JsonValue,
    ReturnedText,
    SearchResponse,
    Span,
)
from rerank_search.vectors import EncodedQuery, with_vector

QUERIES_AT_ONCE = 32
"""Largest number of queries in a request."""

_NEWER = ("passages_per_document", "collapse_duplicates", "instruction", "query_vector")
"""Options that servers of version 0.1 may not know; they are sent if they are not the default."""

CANDIDATES_AT_ONCE = 20_000
"""Largest number of candidates of all queries in a request, which is the server's limit."""


def searches(
    index: str | None,
    queries: Iterable[str],
    options: SearchOptions,
    *,
    model: str | None,
    text: ReturnedText,
    stage_scores: bool = False,
) -> Iterator[Call[list[SearchResponse]]]:
    """Search for the queries, some in each call. Raises InvalidInputError.

    With ``stage_scores`` every hit has its score in every first stage.
    """
    queries = with_vector(query_list(queries), options.query_vector)
    if not options.rerank:
        options.check_without_reranker("rerank=False", model=model)
    if text not in get_args(ReturnedText):
        raise InvalidInputError(
            f"text={shown(text)} is unknown: use {', '.join(map(repr, get_args(ReturnedText)))}"
        )
    body: dict[str, JsonValue] = {
        each.name: getattr(options, each.name)
        for each in fields(options)
        if each.name not in _NEWER or getattr(options, each.name) != each.default
    }
    body.pop("query_vector", None)  # it goes with its query
    body |= {
        "index": index,
        "model": model,
        "filter": None if options.filter is None else check_filter(options.filter),
    }
    if text != "full":  # which older servers do not know by that name
        body["text"] = text
    if stage_scores:
        body["stage_scores"] = True
    most = CANDIDATES_AT_ONCE // options.depth
    for part in in_parts(queries, max(1, min(QUERIES_AT_ONCE, most))):
        yield post("/v1/search", {**body, "queries": list(part), **_vectors(part)}, _responses)


def _vectors(queries: Sequence[str]) -> dict[str, JsonValue]:
    """The field with the vectors of queries, if they have some. Raises InvalidInputError."""
    vectors = [query.vector for query in queries if isinstance(query, EncodedQuery)]
    if vectors and len(vectors) < len(queries):
        raise InvalidInputError(
            f"{len(queries) - len(vectors)} of {len(queries)} queries have no vector: give each as "
            "EncodedQuery(text, vector), or none"
        )
    return {"query_vectors": vectors} if vectors else {}


def _responses(answer: Any) -> list[SearchResponse]:
    return [
        SearchResponse(
            query=each["query"],
            hits=[_hit(hit) for hit in each["hits"]],
            first_stage=each["first_stage"],
            candidates=each["candidates"],
            reranked=each["reranked"],
            reranked_count=each["reranked_count"],
            truncated=each["truncated"],
            timings=each["timings"],
            degraded=each.get("degraded"),
            warnings=tuple(answer.get("warnings") or ()),
        )
        for each in answer["results"]
    ]


def _hit(found: Any) -> Hit:
    document = found.get("document")
    return Hit(
        id=found["id"],
        score=found["score"],
        rank=found["rank"],
        document=None
        if document is None
        else Document(
            found["id"], document.get("text", ""), document["title"], document["metadata"]
        ),
        stage_scores=found["stage_scores"],
        span=_span(found),
        relevance=found.get("relevance"),
        passages=tuple(
            FoundPassage(_span(each), each["score"], each.get("text", ""), each.get("relevance"))
            for each in found.get("passages", ())
        ),
        duplicates=tuple(found.get("duplicates", ())),
    )


def _span(found: Any) -> Span | None:
    span = found.get("span")
    return None if span is None else (span[0], span[1])
