"""The FastAPI application, assembled from the routes, the middleware and the error handlers."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, TypeAlias

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from rerank_search.serving.cors import allow_origins
from rerank_search.serving.dependencies import provide
from rerank_search.serving.error_handlers import add_error_handlers
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.middleware import RequestMiddleware
from rerank_search.serving.openapi import describe
from rerank_search.serving.rate import RateLimiter
from rerank_search.serving.route_table import RouteTable
from rerank_search.serving.routes import (
    embeddings,
    indexes,
    operations,
    rerank,
    search,
    vector_stores,
)
from rerank_search.serving.security import Gate
from rerank_search.serving.service import Service

Routes: TypeAlias = Callable[[Service], APIRouter]
"""Makes routes for a service. What is declared of them counts before requests reach them."""


def create_app(
    service: Service,
    *,
    keys: KeyFile | None = None,
    hosts: frozenset[str] | None = None,
    further: Sequence[Routes] = (),
    cors_origins: Sequence[str] = (),
    lenient: bool = False,
) -> FastAPI:
    """The application for a service whose models are loaded; it closes the service at its end.

    ``hosts`` are the names by which it may be called; None allows any. ``further`` make more routes
    for the service, which are behind the same keys, limits and log; a router's lifespan is entered
    with that of the application. Pages of ``cors_origins``, such as "https://app.example", may call
    the application from a browser; "*" allows all pages. With ``keys`` no index is visible outside
    of requests any more: a request sees those that its key opens. ``lenient`` ignores fields of
    other services' requests that this server does not support, and names them in the answer's
    header X-Ignored-Fields; otherwise they are errors.

    Raises InvalidInputError for an invalid origin.
    """

    routers = [
        rerank.router,
        search.router,
        indexes.router,
        vector_stores.router,
        embeddings.router,
        operations.router,
    ]
    routers += [make(service) for make in further]
    routes = RouteTable([route for router in routers for route in router.routes])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(service.close)

    app = _Api(
        table=routes,
        title="rerank-search",
        version=version("rerank-search"),
        description="Two-stage search: a first stage fetches candidates, a cross-encoder reranks.",
        docs_url=None,  # FastAPI's own pages load scripts from other servers
        redoc_url=None,
        lifespan=lifespan,
        telemetry={  # Prometheus has the metrics, and the log has the errors
            "tracer_provider": service.traces.provider,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: not routes.facts(scope).traced,
        },
    )
    app.openapi = functools.partial(describe, app, routes)  # type: ignore[method-assign]
    provide(app, service)
    for router in routers:
        app.include_router(router)
    operations.add_page_files(app)
    add_error_handlers(app, routes)
    per_minute = service.limits.requests_per_minute
    rate = None if per_minute is None else RateLimiter(per_minute)
    app.add_middleware(
        RequestMiddleware,
        routes=routes,
        metrics=service.metrics,
        limits=service.limits,
        gate=Gate(keys=keys, rate=rate, hosts=hosts),
        lenient=lenient,
    )
    if cors_origins:
        allow_origins(app, cors_origins, service.metrics)
    if keys is not None:
        service.indexes.hide()
    return app


class _Api(FastAPI):
    """FastAPI without the query strings that no route reads: traces must not show them."""

    def __init__(self, *, table: RouteTable, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._table.facts(scope).takes_query:
            scope["query_string"] = b""
        await super().__call__(scope, receive, send)
