"""What the API does, without HTTP: rerankers that requests share, and the indexes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, RerankSearchError
from rerank_search.ranking import ranked
from rerank_search.reranking.base import LongDocuments, Reranker, Scores
from rerank_search.reranking.traits import traits
from rerank_search.searcher import Searcher
from rerank_search.serving.batching import BatchingReranker
from rerank_search.serving.errors import ApiError, api_error
from rerank_search.serving.indexes import Indexes, public_name
from rerank_search.serving.limits import Limits
from rerank_search.serving.metrics import Metrics
from rerank_search.serving.schemas import (
    FirstStageHit,
    FoundDocument,
    FoundHit,
    IndexAnswer,
    IndexList,
    ModelAnswer,
    SearchAnswer,
    SearchRequest,
    SearchResult,
)
from rerank_search.serving.traces import Traces
from rerank_search.shown import shown
from rerank_search.types import Hit, SearchResponse

if TYPE_CHECKING:
    from rerank_search.index import Index


class Service:
    """The rerankers and the indexes of one server. Threads may share one.

    ``rerankers`` are loaded; the first is what requests get that name none. Raises
    InvalidInputError where two have one name.
    """

    def __init__(
        self,
        indexes: Indexes,
        rerankers: Sequence[Reranker],
        limits: Limits,
        *,
        share_batches: bool = True,
        traces: Traces | None = None,
    ) -> None:
        self.indexes = indexes
        self.limits = limits
        self.metrics = Metrics()
        self.traces = traces or Traces()
        self._models = {public_name(each.name): each for each in rerankers}
        if len(self._models) < len(rerankers):
            names = ", ".join(public_name(each.name) for each in rerankers)
            raise InvalidInputError(f"two rerankers have one name ({names}): rename a folder")
        self._batching = {
            name: BatchingReranker(
                each,
                name=name,
                max_waiting=limits.waiting_pairs,
                shared=share_batches,
                on_round=self.metrics.round,
            )
            for name, each in self._models.items()
        }
        for name, batching in self._batching.items():
            self.metrics.watch(name, lambda batching=batching: batching.waiting)  # type: ignore[misc]

    def close(self) -> None:
        """Score what waits, then close the indexes, and send the last traces."""
        for batching in self._batching.values():
            batching.close()
        self.indexes.close()
        self.traces.close()

    def model(self, name: str | None) -> str:
        """The name of the reranker that is meant. Raises ApiError 404 for an unknown one."""
        if name is None and self._models:
            return next(iter(self._models))
        if name is None or name not in self._models:
            there = ", ".join(self._models) or "none"
            asked = (
                "no reranker is served" if name is None else f"no reranker {shown(name)} is served"
            )
            raise ApiError(404, "model_not_found", f"{asked}; there are: {there}")
        return name

    def models(self) -> list[ModelAnswer]:
        """The rerankers, as GET /v1/models lists them."""
        return [
            ModelAnswer(
                id=name,
                max_length=getattr(each, "max_length", None),
                backend=getattr(each, "backend", None),
                dtype=getattr(each, "dtype", None),
            )
            for name, each in self._models.items()
        ]

    def submit(
        self, model: str, pairs: Sequence[tuple[str, str]], long_documents: LongDocuments
    ) -> Future[Scores]:
        """Have pairs scored with those of other requests; see BatchingReranker.submit."""
        return self._batching[model].submit(pairs, long_documents=long_documents)

    def probabilities(self, model: str, scores: Scores) -> NDArray[np.float32]:
        """Scores in [0, 1] of the logits: calibrated ones where the model has them of its logit."""
        self.metrics.truncated(int(scores.truncated.sum()))
        reranker: Any = self._models[model]
        calibrations = traits(reranker).calibration
        calibration = None if calibrations is None else calibrations.of(None)
        if calibration is not None:
            return np.asarray(calibration.probability(scores.values), dtype=np.float32)
        if hasattr(reranker, "activated"):
            return np.clip(np.asarray(reranker.activated(scores.values), np.float32), 0.0, 1.0)
        # The sigmoid, which overflows nowhere when it is written like this.
        return np.exp(-np.logaddexp(0.0, -scores.values)).astype(np.float32)

    def index_answer(self, name: str) -> IndexAnswer:
        """What an index holds."""
        with self.indexes.use(name) as index:
            info = index.info()
            return IndexAnswer(
                name=name,
                documents=info.documents,
                passages=info.passages,
                first_stages=list(index.first_stages),
                encoder=None if info.encoder is None else public_name(info.encoder),
                analyzer=info.analyzer,
                created=info.created.isoformat(),
            )

    def index_list(self) -> IndexList:
        """What each index holds; one that cannot be opened does not hide the others."""
        found, unavailable = [], {}
        for name in self.indexes.names():
            try:
                found.append(self.index_answer(name))
            except RerankSearchError as error:
                unavailable[name] = str(api_error(error))
        return IndexList(indexes=found, unavailable=unavailable or None)

    def search(self, request: SearchRequest, call: Call) -> SearchAnswer:
        """Answer a search; runs in a thread, and stops early where the call is cancelled."""
        self._check(request)
        wanted = request.rerank and (self._models or request.model is not None)
        model = self.model(request.model) if wanted else None
        reranker = None
        if model is None:
            _check_without_reranker(request)
        else:
            self._batching[model].check_room(max(request.top_k, request.candidates))
            reranker = call.reranker(self._batching[model])
        queries = [request.query] if request.query is not None else request.queries or []
        with self.indexes.use(request.index) as index:
            name = request.index or index.path.name
            with self.traces.span("search", index=name, queries=len(queries)):
                began = time.time_ns()
                responses = self._responses(index, reranker, queries, request, call)
                self.traces.stages(responses, began)
        for response in responses:
            self.metrics.search(response)
        results = [_result(response, request) for response in responses]
        warnings = list(responses[0].warnings) if responses else []
        return SearchAnswer(index=name, model=model, results=results, warnings=warnings or None)

    def _check(self, request: SearchRequest) -> None:
        limits = self.limits
        limits.check_count("top_k", request.top_k, limits.top_k)
        limits.check_count("candidates", request.candidates, limits.candidates)
        queries = request.queries or []
        limits.check_count("queries", len(queries), limits.queries)
        depth = max(request.top_k, request.candidates)
        limits.check_count("queries times candidates", len(queries) * depth, limits.waiting_pairs)
        for query in (*queries, request.query or ""):
            limits.check_query(query)

    def _responses(
        self,
        index: Index,
        reranker: Reranker | None,
        queries: Sequence[str],
        request: SearchRequest,
        call: Call,
    ) -> list[SearchResponse]:
        budget = request.budget_ms
        if budget is not None:  # what has passed since the request came counts too
            budget = max(budget - call.milliseconds(), 1e-3)
        searcher = Searcher(index, reranker, on_rerank_error="first_stage")
        depth = max(request.top_k, request.candidates)
        return searcher.search_batch(
            queries,
            # To explain is to know where every candidate stood.
            top_k=depth if request.explain else request.top_k,
            candidates=request.candidates,
            first_stage=request.first_stage,
            filter=request.filter,
            budget_ms=budget,
            min_relevance=request.min_relevance,
        )


def _check_without_reranker(request: SearchRequest) -> None:
    for name in ("budget_ms", "min_relevance"):
        if getattr(request, name) is not None:
            raise InvalidInputError(
                f"{name} needs a reranker, and this server has none: leave {name} out"
            )


class Call:
    """One request while it is answered: when it came, and what it waits for."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._arrived = clock()
        self._futures: list[Future[Scores]] = []
        self._cancelled = False
        self._lock = threading.Lock()

    def milliseconds(self) -> float:
        """Since it came."""
        return (self._clock() - self._arrived) * 1000

    def cancel(self) -> None:
        """Whoever asked has gone: what was not scored yet need not be."""
        with self._lock:
            self._cancelled = True
            futures = list(self._futures)
        for future in futures:
            future.cancel()

    def reranker(self, batching: BatchingReranker) -> Reranker:
        """The shared reranker, as this call's own."""
        return _OfCall(self, batching)

    def keep(self, future: Future[Scores]) -> Future[Scores]:
        """Cancel it when the call is cancelled."""
        with self._lock:
            self._futures.append(future)
            gone = self._cancelled
        if gone:
            future.cancel()
        return future


class _OfCall:
    """A shared reranker whose waiting pairs can be cancelled with a call."""

    def __init__(self, call: Call, batching: BatchingReranker) -> None:
        self._call, self._batching = call, batching
        self.name = batching.name
        self.fusion, self.calibration = batching.fusion, batching.calibration
        self.listwise = batching.listwise

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return self.score_with_report(pairs).values

    def score_with_report(
        self, pairs: Sequence[tuple[str, str]], *, long_documents: LongDocuments = "truncate"
    ) -> Scores:
        future = self._batching.submit(pairs, long_documents=long_documents)
        return self._call.keep(future).result()


def _result(response: SearchResponse, request: SearchRequest) -> SearchResult:
    before = _first_stage(response) if request.explain else []
    ranks = {hit.id: rank for rank, hit in enumerate(before, start=1)}
    return SearchResult(
        query=response.query,
        hits=[_hit(hit, ranks.get(hit.id), request) for hit in response.hits[: request.top_k]],
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
                score=hit.stage_scores[response.first_stage],
                title=hit.document.title if hit.document else "",
            )
            for rank, hit in enumerate(before[: request.top_k], start=1)
        ]
        if request.explain
        else None,
    )


def _first_stage(response: SearchResponse) -> list[Hit]:
    """The hits in the order of the first stage."""
    scored = ((hit.id, hit.stage_scores[response.first_stage], hit) for hit in response.hits)
    return [hit for _, _, hit in ranked(scored)]


def _hit(hit: Hit, first_stage_rank: int | None, request: SearchRequest) -> FoundHit:
    document = hit.with_text(request.text).document
    return FoundHit(
        id=hit.id,
        rank=hit.rank,
        score=hit.score,
        relevance=hit.relevance,
        stage_scores=dict(hit.stage_scores),
        span=hit.span,
        first_stage_rank=first_stage_rank,
        document=FoundDocument(
            text=None if request.text == "none" else document.text,
            title=document.title,
            metadata=dict(document.metadata),
        )
        if request.return_documents and document is not None
        else None,
    )
