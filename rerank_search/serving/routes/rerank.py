"""The routes of the rerank APIs: Cohere's, Jina's, vLLM's and text-embeddings-inference's."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import time
import uuid
from concurrent.futures import Future
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Body, Request
from numpy.typing import NDArray

from rerank_search.reranking.base import LongDocuments, Scores
from rerank_search.serving.dependencies import ServiceGiven
from rerank_search.serving.errors import ApiError
from rerank_search.serving.reranking import best_first, submitted
from rerank_search.serving.route_table import Facts, declared
from rerank_search.serving.schemas.rerank import (
    AnyRerankRequest,
    ModelList,
    RerankAnswer,
    RerankedDocument,
    RerankRequest,
    RerankResult,
    ScoreAnswer,
    ScoreRequest,
    ScoreResult,
    TeiRequest,
    TeiResult,
    TextBody,
)
from rerank_search.serving.service import Service
from rerank_search.serving.strict_json import StrictJsonRoute
from rerank_search.serving.threads import unless_gone
from rerank_search.shown import counted

router = APIRouter(tags=["reranking"], route_class=StrictJsonRoute)


@router.post("/rerank", response_model_exclude_none=True)
@declared(Facts(reads=True, shape="rerank", takes_tei=True))
async def rerank_any(
    request: Request, asked: Annotated[AnyRerankRequest, Body()], service: ServiceGiven
) -> RerankAnswer | list[TeiResult]:
    """Rerank as Jina, vLLM and text-embeddings-inference do."""
    if isinstance(asked, TeiRequest):
        request.state.shape = "tei"
        return await _rerank_tei(request, service, asked)
    return await _rerank(request, service, asked)


@router.post("/v1/rerank", response_model_exclude_none=True)
@declared(Facts(reads=True, shape="rerank"))
async def rerank_v1(request: Request, asked: RerankRequest, service: ServiceGiven) -> RerankAnswer:
    """Rerank as Jina and vLLM do."""
    return await _rerank(request, service, asked)


@router.post("/v2/rerank", response_model_exclude_none=True)
@declared(Facts(reads=True, shape="rerank"))
async def rerank_v2(request: Request, asked: RerankRequest, service: ServiceGiven) -> RerankAnswer:
    """Rerank as Cohere does."""
    return await _rerank(request, service, asked)


@router.post("/v1/score", response_model_exclude_none=True)
@router.post("/score", response_model_exclude_none=True)
@declared(Facts(reads=True, shape="rerank"))
async def score(request: Request, asked: ScoreRequest, service: ServiceGiven) -> ScoreAnswer:
    """Score pairs as vLLM does."""
    limits = service.limits
    model = service.rerankers.name(asked.model)
    pairs = _pairs(asked)
    limits.check_texts("documents", [text for _, text in pairs], limits.documents)
    for query, _ in pairs:
        limits.check_query(query)
    pairs, cut = await _shortened(request, service, model, pairs, asked)
    with service.traces.span("rerank", model=model, count=len(pairs)):
        future = service.rerankers.submit(model, pairs, instruction=asked.told)
        scores = _also_cut(await _unless_gone(request, future), cut)
    values = service.rerankers.probabilities(model, scores).tolist()
    return ScoreAnswer(
        id=f"score-{request.state.request_id}",
        created=int(time.time()),
        model=model,
        data=[ScoreResult(index=i, score=value) for i, value in enumerate(values)],
        usage=_usage(scores),
    )


@router.get("/v1/models", response_model_exclude_none=True)
async def models(service: ServiceGiven) -> ModelList:
    """The rerankers that are served."""
    return ModelList(data=service.rerankers.listed())


async def _rerank(request: Request, service: Service, asked: RerankRequest) -> RerankAnswer:
    model = service.rerankers.name(asked.model)
    texts = [each.text if isinstance(each, TextBody) else each for each in asked.documents]
    service.limits.check_query(asked.query)
    service.limits.check_texts("documents", texts, service.limits.documents)
    pairs, cut = await _shortened(
        request, service, model, [(asked.query, text) for text in texts], asked
    )
    found = await _of_list(
        request,
        service,
        model,
        asked.query,
        [text for _, text in pairs],
        long_documents=asked.long_documents,
        instruction=asked.told,
    )
    scores = _also_cut(found, cut)
    values = service.rerankers.probabilities(model, scores).tolist()
    results = [
        RerankResult(
            index=place,
            relevance_score=values[place],
            document=RerankedDocument(text=texts[place]) if asked.return_documents else None,
        )
        for place in best_first(scores)[: asked.top_n or None]
    ]
    meta: dict[str, object] = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
    }
    if (why := service.rerankers.unread(model, texts)) is not None:
        meta["warnings"] = [why]
    return RerankAnswer(
        id=str(uuid.uuid4()),
        model=model,
        results=results,
        meta=meta,
        usage=_usage(scores),
    )


async def _rerank_tei(request: Request, service: Service, asked: TeiRequest) -> list[TeiResult]:
    model = service.rerankers.name(asked.model)
    scores = await _of_list(request, service, model, asked.query, asked.texts)
    if asked.truncate is False and scores.truncated.any():
        place = int(scores.truncated.argmax())
        raise ApiError(
            413,
            "too_large",
            f"texts[{place}] does not fit the model's window, and truncate is false: shorten it",
        )
    values = service.rerankers.probabilities(model, scores)
    chosen = (scores.values if asked.raw_scores else values).tolist()
    return [
        TeiResult(
            index=place,
            score=chosen[place],
            text=asked.texts[place] if asked.return_text else None,
        )
        for place in best_first(scores)
    ]


async def _of_list(
    request: Request,
    service: Service,
    model: str,
    query: str,
    texts: list[str],
    *,
    long_documents: LongDocuments = "truncate",
    instruction: str | None = None,
) -> Scores:
    """The scores of a query's texts. Raises what ``submitted`` and the reranker raise."""
    with service.traces.span("rerank", model=model, count=len(texts)):
        future = submitted(service, model, query, texts, long_documents, instruction)
        return await _unless_gone(request, future)


async def _shortened(
    request: Request,
    service: Service,
    model: str,
    pairs: list[tuple[str, str]],
    asked: RerankRequest | ScoreRequest,
) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
    """The pairs with texts as short as the request wants them, and which were cut."""
    of_text, whole = None, False
    if isinstance(asked, RerankRequest):
        of_text, whole = asked.max_tokens_per_doc, asked.long_documents == "max_passage"
    if of_text is None and asked.pair_tokens is None:
        return pairs, np.zeros(len(pairs), dtype=np.bool_)
    return await service.threads.read(
        request,
        functools.partial(
            service.rerankers.shortened,
            model,
            pairs,
            text_tokens=of_text,
            pair_tokens=asked.pair_tokens,
            instruction=asked.told,
            whole=whole,
        ),
    )


def _also_cut(scores: Scores, cut: NDArray[np.bool_]) -> Scores:
    return dataclasses.replace(scores, truncated=scores.truncated | cut)


async def _unless_gone(request: Request, future: Future[Scores]) -> Scores:
    """The scores, which are cancelled if the client disconnects."""
    return await unless_gone(request, asyncio.wrap_future(future), future.cancel)


def _pairs(asked: ScoreRequest) -> list[tuple[str, str]]:
    first, second = asked.sides
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise ApiError(
            400,
            "invalid_request",
            f"{counted(len(first), 'text')} cannot be paired with {len(second)}: give one text, "
            "or as many as in the other list",
        )
    return list(zip(first, second, strict=True))


def _usage(scores: Scores) -> dict[str, int]:
    counts = {"truncated": int(scores.truncated.sum())}
    if scores.tokens is not None:
        tokens = int(scores.tokens.sum())
        counts = {"prompt_tokens": tokens, "total_tokens": tokens, **counts}
    return counts
