"""The routes of OpenAI's vector stores that search: an index is a store, a document a file."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request

from rerank_search.errors import RerankError, RerankSearchError
from rerank_search.index import Index
from rerank_search.ranking import ranked
from rerank_search.serving.dependencies import ServiceGiven, ThreadsGiven
from rerank_search.serving.errors import ApiError
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.serving.route_table import Facts, declared
from rerank_search.serving.schemas.search import SearchRequest
from rerank_search.serving.schemas.vector_stores import (
    FileCounts,
    RankingOptions,
    TextContent,
    VectorStore,
    VectorStoreList,
    VectorStorePage,
    VectorStoreResult,
    VectorStoreResults,
    VectorStoreSearchRequest,
)
from rerank_search.serving.searching import searched
from rerank_search.serving.service import Service
from rerank_search.serving.strict_json import StrictJsonRoute
from rerank_search.types import Document, Hit, JsonValue, SearchResponse

router = APIRouter(tags=["vector stores"], route_class=StrictJsonRoute)

RESULTS = 10
"""Default number of results."""


@router.get("/v1/vector_stores")
@declared(Facts(shape="rerank", takes_query=True))
async def vector_stores(
    request: Request,
    page: Annotated[VectorStorePage, Query()],
    service: ServiceGiven,
    threads: ThreadsGiven,
) -> VectorStoreList:
    """The indexes that are served, as OpenAI lists vector stores."""
    return await threads.read(request, functools.partial(_page, service, page))


@router.get("/v1/vector_stores/{name}")
@declared(Facts(shape="rerank"))
async def vector_store(
    request: Request, name: str, service: ServiceGiven, threads: ThreadsGiven
) -> VectorStore:
    """An index, as OpenAI describes a vector store."""
    return await threads.read(request, functools.partial(_described, service, name))


@router.post("/v1/vector_stores/{name}/search")
@declared(Facts(reads=True, shape="rerank"))
async def search(
    request: Request,
    name: str,
    asked: VectorStoreSearchRequest,
    service: ServiceGiven,
    threads: ThreadsGiven,
) -> VectorStoreResults:
    """Search an index in two stages, as OpenAI searches a vector store."""
    ongoing = OngoingSearch()
    wanted = _request(service, name, asked)
    least = (asked.ranking_options or RankingOptions()).score_threshold or 0.0

    def results() -> list[VectorStoreResult]:
        responses = searched(service, wanted, ongoing).responses
        _check_scores(responses, least)
        best = _results(responses, wanted.options.top_k)
        return [each for each in best if each.score >= least]

    found = await threads.read(request, results, on_gone=ongoing.cancel)
    return VectorStoreResults(search_query=asked.query, data=found)


def _request(service: Service, name: str, asked: VectorStoreSearchRequest) -> SearchRequest:
    """The same request in our own words. Raises ApiError 400 for what cannot be done."""
    ranking = asked.ranking_options or RankingOptions()
    unnamed = {None, ranking.without_reranking, *ranking.default}
    named = None if ranking.ranker in unnamed else ranking.ranker
    rerank = named is not None or (
        bool(service.rerankers) and ranking.ranker != ranking.without_reranking
    )
    if asked.rewrite_query:
        raise ApiError(400, "invalid_request", "rewrite_query=true is not supported: leave it out")
    if not rerank and ranking.score_threshold:
        raise ApiError(
            400,
            "invalid_request",
            "score_threshold needs a ranker, because scores of a first stage are no "
            "probabilities: leave one of them out",
        )
    return SearchRequest.model_validate(
        {
            "index": name,
            "queries": asked.queries,
            "model": named,
            "rerank": rerank,
            "top_k": asked.max_num_results or RESULTS,
            "filter": None if asked.filters is None else asked.filters.translated(),
        }
    )


def _check_scores(responses: Sequence[SearchResponse], least: float) -> None:
    """Raise RerankError for scores of a first stage where they cannot be used.

    A threshold must not be applied to them, and they cannot be compared with reranked ones.
    """
    degraded = next((each.degraded for each in responses if each.degraded is not None), None)
    if degraded is not None and least:
        raise RerankError(
            f"score_threshold needs the second stage, and there is none now ({degraded}): try "
            "again, or leave score_threshold out"
        )
    if degraded is not None and any(each.reranked for each in responses):
        raise RerankError(
            f"some of the queries are reranked and others are not ({degraded}), so that their "
            "results cannot be compared: try again, or send one query at a time"
        )


def _results(responses: Sequence[SearchResponse], most: int) -> list[VectorStoreResult]:
    """The best hits of all queries; a document that several found has its best score."""
    best: dict[str, tuple[float, Hit]] = {}
    for response in responses:
        for hit in response.hits:
            score = _score(hit, reranked=response.reranked)
            if hit.id not in best or score > best[hit.id][0]:
                best[hit.id] = score, hit
    order = ranked((id, score, hit) for id, (score, hit) in best.items())
    return [_result(score, hit) for _, score, hit in order[:most]]


def _score(hit: Hit, *, reranked: bool) -> float:
    """A score in [0, 1], in the order of the hits.

    It is the probability of a calibrated reranker, or the sigmoid of the score; x / (1 + x) for the
    score of a first stage.
    """
    if hit.relevance is not None:
        return hit.relevance
    if reranked:
        return 0.5 * (1.0 + math.tanh(hit.score / 2.0))  # the sigmoid, which never overflows
    positive = max(0.0, hit.score)
    return positive / (1.0 + positive)


def _result(score: float, hit: Hit) -> VectorStoreResult:
    document = hit.document or Document(hit.id, "")
    return VectorStoreResult(
        file_id=hit.id,
        filename=document.title or hit.id,
        score=score,
        attributes={key: _attribute(value) for key, value in document.metadata.items()},
        content=[TextContent(text=hit.text or "")],
    )


def _attribute(value: JsonValue) -> str | int | float | bool:
    """A value as OpenAI's attributes have it; lists, mappings and null become JSON."""
    if isinstance(value, (str, int, float)):
        return value
    return json.dumps(value, ensure_ascii=False)


def _page(service: Service, page: VectorStorePage) -> VectorStoreList:
    stores = sorted(_stores(service), key=lambda store: (store.created_at, store.id))
    if page.order == "desc":
        stores.reverse()
    names = [store.id for store in stores]
    start, end = 0, len(stores)
    if page.after is not None:
        start = _place(names, "after", page.after) + 1
    if page.before is not None:
        end = _place(names, "before", page.before)
        start = max(start, end - page.limit)
    chosen = stores[start:end][: page.limit]
    return VectorStoreList(
        data=chosen,
        first_id=chosen[0].id if chosen else None,
        last_id=chosen[-1].id if chosen else None,
        has_more=start + len(chosen) < end,
    )


def _place(names: Sequence[str], field: str, name: str) -> int:
    if name not in names:
        raise ApiError(
            400, "invalid_request", f"{field}={name!r:.100} is not the id of a vector store here"
        )
    return names.index(name)


def _stores(service: Service) -> list[VectorStore]:
    found = []
    for name in service.indexes.names():
        try:
            found.append(_described(service, name))
        except RerankSearchError:  # GET /v1/indexes says why
            continue
    return found


def _described(service: Service, name: str) -> VectorStore:
    created = used = 0  # a store does not tell
    with service.indexes.use(name) as served:
        documents = len(served)
        if isinstance(served, Index):
            info = served.info()
            created = int(info.created.timestamp())
            used = info.bytes_documents + sum(info.bytes_engines.values())
    return VectorStore(
        id=name,
        created_at=created,
        name=name,
        usage_bytes=used,
        file_counts=FileCounts(completed=documents, total=documents),
    )
