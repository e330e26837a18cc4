"""The FastAPI application: routes, and how requests become calls of the service."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Body, FastAPI, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from pydantic import Discriminator, Tag
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from rerank_search.errors import RerankSearchError
from rerank_search.reranking.base import LongDocuments, Scores
from rerank_search.serving.errors import ApiError
from rerank_search.serving.indexes import NAME
from rerank_search.serving.json import StrictJsonRoute
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.limits import RateLimiter
from rerank_search.serving.middleware import (
    RequestMiddleware,
    answered,
    error_response,
    is_untraced,
)
from rerank_search.serving.openapi import describe
from rerank_search.serving.schemas import (
    DeleteAnswer,
    DeleteRequest,
    IndexAnswer,
    IndexList,
    ModelList,
    NewIndex,
    RerankAnswer,
    RerankedDocument,
    RerankRequest,
    RerankResult,
    ScoreAnswer,
    ScoreRequest,
    ScoreResult,
    SearchAnswer,
    SearchRequest,
    TeiRequest,
    TeiResult,
    TextBody,
    UpsertAnswer,
)
from rerank_search.serving.service import Call, Service
from rerank_search.serving.uploads import OPENAPI, upsert
from rerank_search.serving.validation import invalid
from rerank_search.serving.waiting import add_threads, in_thread, in_writer_thread, unless_gone
from rerank_search.shown import counted

UI = Path(__file__).parent / "ui"

_TYPES = {
    404: "no_such_path",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media",
}


def create_app(
    service: Service, *, keys: KeyFile | None = None, hosts: frozenset[str] | None = None
) -> FastAPI:
    """The application for a service whose models are loaded; it closes the service at its end.

    ``hosts`` are the names that it may be called by; None is any.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.close)

    limits = service.limits
    app = _Api(
        title="rerank-search",
        version=version("rerank-search"),
        description="Two-stage search: a first stage fetches candidates, a cross-encoder reranks.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        telemetry={  # metrics are Prometheus', and the log has the errors
            "tracer_provider": service.traces.provider,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": is_untraced,
        },
    )
    app.openapi = functools.partial(describe, app)  # type: ignore[method-assign]
    app.state.service = service
    add_threads(app, limits)
    app.router.route_class = StrictJsonRoute
    _add_reranking(app)
    _add_searching(app)
    _add_indexes(app)
    _add_operations(app)
    _add_errors(app)
    rate = None
    if limits.requests_per_minute is not None:
        rate = RateLimiter(limits.requests_per_minute)
    app.add_middleware(
        RequestMiddleware,
        metrics=service.metrics,
        limits=limits,
        keys=keys,
        rate=rate,
        hosts=hosts,
    )
    return app


class _Api(FastAPI):
    """Nothing here is asked for by a query of the address, so that traces need not have it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["query_string"] = b""
        await super().__call__(scope, receive, send)


# Reranking


def _kind_of(value: Any) -> str:
    return "tei" if isinstance(value, dict) and "texts" in value else "rerank"


_AnyRerankRequest = Annotated[
    Annotated[RerankRequest, Tag("rerank")] | Annotated[TeiRequest, Tag("tei")],
    Discriminator(_kind_of),
]


def _add_reranking(app: FastAPI) -> None:
    @app.post("/rerank", response_model_exclude_none=True, tags=["reranking"])
    async def rerank_any(
        request: Request, asked: Annotated[_AnyRerankRequest, Body()]
    ) -> RerankAnswer | list[TeiResult]:
        """Rerank as Jina, vLLM and text-embeddings-inference do."""
        if isinstance(asked, TeiRequest):
            request.state.shape = "tei"
            return await _rerank_tei(request, asked)
        return await _rerank(request, asked)

    @app.post("/v1/rerank", response_model_exclude_none=True, tags=["reranking"])
    async def rerank_v1(request: Request, asked: RerankRequest) -> RerankAnswer:
        """Rerank as Jina and vLLM do."""
        return await _rerank(request, asked)

    @app.post("/v2/rerank", response_model_exclude_none=True, tags=["reranking"])
    async def rerank_v2(request: Request, asked: RerankRequest) -> RerankAnswer:
        """Rerank as Cohere does."""
        return await _rerank(request, asked)

    @app.post("/score", response_model_exclude_none=True, tags=["reranking"])
    async def score(request: Request, asked: ScoreRequest) -> ScoreAnswer:
        """Score pairs as vLLM does."""
        service: Service = request.app.state.service
        model = service.model(asked.model)
        pairs = _pairs(asked)
        service.limits.check_texts(
            "documents", [text for _, text in pairs], service.limits.documents
        )
        for query, _ in pairs:
            service.limits.check_query(query)
        scores = await _scored(request, model, pairs, "truncate")
        values = service.probabilities(model, scores).tolist()
        return ScoreAnswer(
            id=f"score-{request.state.request_id}",
            created=int(time.time()),
            model=model,
            data=[ScoreResult(index=i, score=value) for i, value in enumerate(values)],
            usage=_usage(scores),
        )


async def _rerank(request: Request, asked: RerankRequest) -> RerankAnswer:
    service: Service = request.app.state.service
    model = service.model(asked.model)
    texts = [each.text if isinstance(each, TextBody) else each for each in asked.documents]
    scores = await _of_list(request, model, asked.query, texts, asked.long_documents)
    values = service.probabilities(model, scores).tolist()
    results = [
        RerankResult(
            index=place,
            relevance_score=values[place],
            document=RerankedDocument(text=texts[place]) if asked.return_documents else None,
        )
        for place in _order(scores)[: asked.top_n or None]
    ]
    return RerankAnswer(
        id=str(uuid.uuid4()),
        model=model,
        results=results,
        meta={"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        usage=_usage(scores),
    )


async def _rerank_tei(request: Request, asked: TeiRequest) -> list[TeiResult]:
    service: Service = request.app.state.service
    model = service.model(None)
    scores = await _of_list(request, model, asked.query, asked.texts, "truncate")
    if asked.truncate is False and scores.truncated.any():
        place = int(scores.truncated.argmax())
        raise ApiError(
            413,
            "too_large",
            f"texts[{place}] does not fit the model's window, and truncate is false: shorten it",
        )
    values = service.probabilities(model, scores)
    chosen = (scores.values if asked.raw_scores else values).tolist()
    return [
        TeiResult(
            index=place,
            score=chosen[place],
            text=asked.texts[place] if asked.return_text else None,
        )
        for place in _order(scores)
    ]


async def _of_list(
    request: Request, model: str, query: str, texts: list[str], long_documents: LongDocuments
) -> Scores:
    limits = request.app.state.service.limits
    limits.check_query(query)
    limits.check_texts("documents", texts, limits.documents)
    if not query.strip():
        raise ApiError(400, "invalid_request", "the query is blank: say what to look for")
    return await _scored(request, model, [(query, text) for text in texts], long_documents)


async def _scored(
    request: Request, model: str, pairs: list[tuple[str, str]], long_documents: LongDocuments
) -> Scores:
    """The scores of the pairs; they are given up where the client has gone."""
    service: Service = request.app.state.service
    with service.traces.span("rerank", model=model, count=len(pairs)):
        future = service.submit(model, pairs, long_documents)
        return await unless_gone(request, asyncio.wrap_future(future), future.cancel)


def _pairs(asked: ScoreRequest) -> list[tuple[str, str]]:
    one, other = asked.text_1, asked.text_2
    if one is None or other is None:
        one, other = asked.queries, asked.documents
    first, second = _listed(one), _listed(other)
    if len(first) == 1:
        first = first * len(second)
    if len(first) != len(second):
        raise ApiError(
            400,
            "invalid_request",
            f"{counted(len(first), 'text')} cannot be paired with {len(second)}: give one, or "
            "as many",
        )
    return list(zip(first, second, strict=True))


def _listed(given: str | list[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else given or []


def _order(scores: Scores) -> list[int]:
    """Places by logit, the best first; of equals the first."""
    logits = scores.values.tolist()
    return sorted(range(len(logits)), key=lambda place: (-logits[place], place))


def _usage(scores: Scores) -> dict[str, int]:
    counted = {"truncated": int(scores.truncated.sum())}
    if scores.tokens is not None:
        tokens = int(scores.tokens.sum())
        counted = {"prompt_tokens": tokens, "total_tokens": tokens, **counted}
    return counted


# Searching


def _add_searching(app: FastAPI) -> None:
    @app.post("/v1/search", response_model=SearchAnswer, tags=["searching"])
    async def search(request: Request, asked: SearchRequest) -> Response:
        """Search an index in two stages."""
        service: Service = request.app.state.service
        call = Call()

        def answer() -> bytes:
            """Written out in the thread too: it may have a thousand documents."""
            found = service.search(asked, call)
            return found.model_dump_json(exclude_none=True).encode()

        content = await in_thread(request, answer, on_gone=call.cancel)
        return Response(content, media_type="application/json")

    @app.get("/v1/models", response_model_exclude_none=True, tags=["reranking"])
    async def models(request: Request) -> ModelList:
        """The rerankers that are served."""
        return ModelList(data=request.app.state.service.models())


# Indexes


_NewName = Annotated[str, PathParameter(json_schema_extra={"pattern": f"^{NAME}$"})]


def _add_indexes(app: FastAPI) -> None:
    @app.get("/v1/indexes", response_model_exclude_none=True, tags=["indexes"])
    async def indexes(request: Request) -> IndexList:
        """The indexes that are served."""
        service: Service = request.app.state.service

        return await in_thread(request, service.index_list)

    @app.get("/v1/indexes/{name}", response_model_exclude_none=True, tags=["indexes"])
    async def index(request: Request, name: str) -> IndexAnswer:
        """What an index holds."""
        service: Service = request.app.state.service
        return await in_thread(request, functools.partial(service.index_answer, name))

    @app.put("/v1/indexes/{name}", status_code=201, response_model_exclude_none=True,
             tags=["indexes"])  # fmt: skip
    async def create(
        request: Request, name: _NewName, asked: NewIndex | None = None
    ) -> IndexAnswer:
        """Make an empty index."""
        service: Service = request.app.state.service
        wanted = asked or NewIndex()

        def made() -> IndexAnswer:
            service.indexes.create(name, encoder=wanted.encoder, analyzer=wanted.analyzer)
            return service.index_answer(name)

        return await in_writer_thread(request, made)

    @app.post(
        "/v1/indexes/{name}/documents",
        response_model_exclude_none=True,
        tags=["indexes"],
        openapi_extra=OPENAPI,
    )
    async def add(request: Request, name: str) -> UpsertAnswer:
        """Insert documents, or replace those of the same ids; they are durable when it returns."""
        service: Service = request.app.state.service

        return await upsert(request, service, name, functools.partial(in_writer_thread, request))

    @app.delete(
        "/v1/indexes/{name}/documents/{id:path}", response_model_exclude_none=True, tags=["indexes"]
    )
    async def delete_one(request: Request, name: str, id: str) -> DeleteAnswer:
        """Delete a document; an unknown id deletes none."""
        return await deleted(request, name, DeleteRequest(ids=[id]))

    @app.post("/v1/indexes/{name}/delete", response_model_exclude_none=True, tags=["indexes"])
    async def delete_many(request: Request, name: str, asked: DeleteRequest) -> DeleteAnswer:
        """Delete documents by their ids, or all that a filter allows."""
        return await deleted(request, name, asked)

    async def deleted(request: Request, name: str, asked: DeleteRequest) -> DeleteAnswer:
        service: Service = request.app.state.service

        def delete() -> DeleteAnswer:
            with service.indexes.use(name) as index:
                if asked.filter is not None:
                    warnings = index.filter_warnings(asked.filter)
                    deleted = index.delete_matching(asked.filter, warn=False)
                    return DeleteAnswer(deleted=deleted, warnings=warnings or None)
                return DeleteAnswer(deleted=index.delete(asked.ids or []))

        return await in_writer_thread(request, delete)


# Operations, and the page


def _add_operations(app: FastAPI) -> None:
    @app.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["operations"])
    async def ready() -> dict[str, str]:
        """Whether it takes requests: models are loaded before any is answered."""
        return {"status": "ready"}

    @app.get("/metrics", tags=["operations"], response_class=Response)
    async def metrics(request: Request) -> Response:
        """Counts and times, for Prometheus."""
        return Response(
            request.app.state.service.metrics.text(),
            media_type="text/plain; version=0.0.4; charset=utf-8",
        )

    if UI.is_dir():

        @app.get("/", include_in_schema=False)
        async def page() -> FileResponse:
            return FileResponse(UI / "index.html")

        app.mount("/ui", StaticFiles(directory=UI))


# Errors


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RerankSearchError)
    async def ours(request: Request, error: RerankSearchError) -> Response:
        return answered(error, request.scope["state"])

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        if _kind_of(error.body) == "tei" and request.url.path == "/rerank":
            request.state.shape = "tei"
        return error_response(_invalid(error), request.scope["state"])

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return error_response(_of_http(app, request, error), request.scope["state"])


def _of_http(app: FastAPI, request: Request, error: HTTPException) -> ApiError:
    status, message, headers = error.status_code, str(error.detail), dict(error.headers or {})
    if status == 404:
        message = "there is nothing at this path"
    elif status == 405:
        # Of several routes with this path, Starlette names the methods of the first alone.
        known = [route for route in app.routes if isinstance(route, APIRoute)]
        there = [route for route in known if route.path_regex.match(request.url.path)]
        headers["Allow"] = ", ".join(
            sorted({name for each in there for name in each.methods or ()})
        )
        message = f"this path is for {headers['Allow']}"
    return ApiError(status, _TYPES.get(status, "invalid_request"), message, headers)


def _invalid(error: RequestValidationError) -> ApiError:
    """The first thing that is wrong, by its place."""
    if isinstance(error.body, bytes):
        return ApiError(
            415, "unsupported_media", "send JSON, with the header Content-Type: application/json"
        )
    return invalid(error.errors()[0])
