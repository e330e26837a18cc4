"""Searches in the indexes of a service, within its limits and with its rerankers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rerank_search.searchable import Searchable
from rerank_search.searcher import Searcher
from rerank_search.serving.matches import matches
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.serving.schemas.search import (
    FirstStageHit,
    FoundDocument,
    FoundHit,
    FoundMatches,
    FoundPassage,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from rerank_search.serving.service import Service
from rerank_search.types import ExplainedResponse, Hit, SearchResponse
from rerank_search.vectors import with_vector


@dataclass(frozen=True, slots=True)
class Searched:
    """The responses to the queries of a request, the index, and the reranker if there was one.

    ``matches`` are those of each response's hits, by their ids, if they were asked for.
    """

    index: str
    model: str | None
    explained: Sequence[ExplainedResponse]
    matches: Sequence[Mapping[str, FoundMatches]]

    @property
    def responses(self) -> list[SearchResponse]:
        """The response to each query."""
        return [each.response for each in self.explained]

    @property
    def warnings(self) -> Sequence[str]:
        """The warnings about the filter, which are those of every response."""
        return self.explained[0].response.warnings if self.explained else ()


def searched(service: Service, asked: SearchRequest, ongoing: OngoingSearch) -> Searched:
    """Search as the request asks. Raises ApiError, and what the index and the Searcher raise."""
    options, queries = asked.options, asked.every_query
    _check_limits(service, asked)
    reranker, model = None, None
    if options.rerank and (service.rerankers or asked.model is not None):
        model = service.rerankers.name(asked.model)
        shared = service.rerankers.shared(model)
        shared.check_room(options.depth)
        reranker = ongoing.reranker(shared)
    else:
        options.check_without_reranker("a server without a reranker")
    options = options.begun_late(ongoing.milliseconds())
    name = service.indexes.chosen(asked.index)
    kind = service.indexes.kind_of_store(name)
    store = {} if kind is None else {"store": kind}
    with (
        service.indexes.use(name) as index,
        service.traces.span("search", index=name, queries=len(queries), **store),
    ):
        began = time.time_ns()
        searcher = Searcher(index, reranker, on_rerank_error="first_stage")
        if asked.explain:
            explained = searcher.explain_batch(queries, options)
        else:  # the candidates of hundreds of queries need not stay in memory
            found = searcher.search_batch(queries, options)
            explained = [ExplainedResponse(response, ()) for response in found]
        if asked.stage_scores:
            explained = _completed(index, with_vector(queries, options.query_vector), explained)
        marked = asked.matches and asked.return_documents and asked.text != "none"
        words = [matches(index, each.response, asked) if marked else {} for each in explained]
        result = Searched(name, model, explained, words)
        service.traces.stages(result.responses, began)
    for response in result.responses:
        service.metrics.search(response)
        if kind is not None:
            service.metrics.store(name, response)
    return result


def answered(service: Service, asked: SearchRequest, ongoing: OngoingSearch) -> SearchAnswer:
    """The answer to a search, as the API sends it. Raises what ``searched`` raises."""
    found = searched(service, asked, ongoing)
    return SearchAnswer(
        index=found.index,
        model=found.model,
        results=[
            _result(each, words, asked)
            for each, words in zip(found.explained, found.matches, strict=True)
        ],
        warnings=list(found.warnings) or None,
    )


def _completed(
    index: Searchable, queries: Sequence[str], explained: Sequence[ExplainedResponse]
) -> list[ExplainedResponse]:
    """The responses, each hit with its score in every first stage."""
    rankings = index.stage_scores(queries, [each.response.hits for each in explained])
    return [
        replace(each, response=replace(each.response, hits=hits))
        for each, hits in zip(explained, rankings, strict=True)
    ]


def _check_limits(service: Service, asked: SearchRequest) -> None:
    """Raise ApiError 413 for a request that is above a limit.

    One query's candidates that are too many for the queue are not too large a request, but a busy
    server's answer is 429.
    """
    limits, options, queries = service.limits, asked.options, asked.queries or []
    limits.check_count("top_k", options.top_k, limits.top_k)
    limits.check_count("candidates", options.candidates, limits.candidates)
    further = options.top_k * (options.passages_per_document - 1)
    limits.check_count("further passages of top_k documents", further, limits.candidates)
    limits.check_count("queries", len(queries), limits.queries)
    pairs = len(queries) * options.depth
    limits.check_count("queries times candidates", pairs, limits.waiting_pairs)
    for query in asked.every_query:
        limits.check_query(query)


def _result(
    explained: ExplainedResponse, words: Mapping[str, FoundMatches], asked: SearchRequest
) -> SearchResult:
    response, ranks = explained.response, explained.first_stage_ranks
    return SearchResult(
        query=response.query,
        hits=[_hit(hit, ranks.get(hit.id), words.get(hit.id), asked) for hit in response.hits],
        first_stage=response.first_stage,
        candidates=response.candidates,
        reranked=response.reranked,
        reranked_count=response.reranked_count,
        truncated=response.truncated,
        timings=dict(response.timings),
        degraded=response.degraded,
        first_stage_hits=[
            FirstStageHit(
                id=hit.id,
                rank=rank,
                score=hit.score,
                title=hit.document.title if hit.document else "",
            )
            for rank, hit in enumerate(explained.first_stage_hits[: asked.options.top_k], start=1)
        ]
        if asked.explain
        else None,
    )


def _hit(
    hit: Hit, first_stage_rank: int | None, words: FoundMatches | None, asked: SearchRequest
) -> FoundHit:
    shown = hit.with_text(asked.text)
    document = shown.document
    return FoundHit(
        id=hit.id,
        rank=hit.rank,
        score=hit.score,
        relevance=hit.relevance,
        stage_scores=dict(hit.stage_scores),
        span=hit.span,
        first_stage_rank=first_stage_rank,
        document=FoundDocument(
            text=None if asked.text == "none" else document.text,
            title=document.title,
            metadata=dict(document.metadata),
        )
        if asked.return_documents and document is not None
        else None,
        matches=words,
        passages=[
            FoundPassage(
                span=each.span,
                score=each.score,
                text=each.text if asked.return_documents and asked.text != "none" else None,
                relevance=each.relevance,
            )
            for each in shown.passages
        ]
        or None,
        duplicates=list(hit.duplicates) or None,
    )
