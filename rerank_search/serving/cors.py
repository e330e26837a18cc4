"""Pages of other origins that may call the server from a browser."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from rerank_search.arguments import several
from rerank_search.errors import InvalidInputError
from rerank_search.serving.metrics import Metrics
from rerank_search.serving.request_log import record
from rerank_search.shown import shown

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#@\s*]+", re.IGNORECASE)


def checked_origins(origins: Sequence[str]) -> list[str]:
    """The origins as browsers send them, in lower case. Raises InvalidInputError for others."""
    checked = []
    for origin in several("cors_origins", origins, one="origins"):
        if origin != "*" and (not isinstance(origin, str) or not _ORIGIN.fullmatch(origin)):
            raise InvalidInputError(
                f"{shown(origin)} is not an origin: use the address of the page without a path, "
                "such as https://app.example or http://localhost:3000, or * for all pages"
            )
        checked.append(origin.lower())
    return checked


def allow_origins(app: FastAPI, origins: Sequence[str], metrics: Metrics) -> None:
    """Answer preflight requests of these origins without a key, and let them read all answers.

    It has to be the outermost layer, so that browsers can read the errors of the gate too.
    """
    app.add_middleware(_Cors, origins=checked_origins(origins), metrics=metrics)


class _Cors(CORSMiddleware):
    """Starlette's, which answers preflight requests itself; here they are logged too."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], metrics: Metrics) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "X-API-Key",
                "Content-Type",
                "X-Request-ID",
                "traceparent",
            ],
            expose_headers=["X-Request-ID", "Retry-After", "X-Ignored-Fields"],
        )
        self._metrics = metrics

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight request."""
        return _Logged(super().preflight_response(request_headers), self._metrics)


class _Logged(Response):
    """A response that is logged when it is sent."""

    def __init__(self, response: Response, metrics: Metrics) -> None:
        super().__init__()
        self._response, self._metrics = response, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id, started = uuid.uuid4().hex, time.perf_counter()
        self._response.headers["X-Request-ID"] = request_id
        await self._response(scope, receive, send)
        record(
            self._metrics,
            scope,
            request_id=request_id,
            status=self._response.status_code,
            seconds=time.perf_counter() - started,
        )
