"""Errors as responses: of our own, of FastAPI's validation, and of HTTP itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from rerank_search.errors import RerankSearchError
from rerank_search.serving.errors import ApiError, body, reported
from rerank_search.serving.route_table import RouteTable
from rerank_search.serving.schemas.rerank import is_tei
from rerank_search.serving.validation import invalid

_TYPES = {
    404: "no_such_path",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media",
}
"""The ``type`` of the errors that Starlette raises, by their status."""


def add_error_handlers(app: FastAPI, routes: RouteTable) -> None:
    """Have the app answer every error in the shape of the API that was called.

    ``routes`` are those of the API, whose methods are listed if a request has another one.
    """

    @app.exception_handler(RerankSearchError)
    async def own(request: Request, error: RerankSearchError) -> Response:
        state = request.scope["state"]
        return error_response(reported(error, f"request {state['request_id']}"), state)

    @app.exception_handler(RequestValidationError)
    async def validation(request: Request, error: RequestValidationError) -> Response:
        if request.state.facts.takes_tei and is_tei(error.body):
            request.state.shape = "tei"
        return error_response(_of_validation(error), request.scope["state"])

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        return error_response(_of_http(routes, request, error), request.scope["state"])


def error_response(error: ApiError, state: Mapping[str, Any]) -> JSONResponse:
    """An error in the shape of the API that was called."""
    content = body(error, state["shape"], state["request_id"])
    return JSONResponse(content, status_code=error.status, headers=error.headers)


def _of_validation(error: RequestValidationError) -> ApiError:
    if isinstance(error.body, bytes):
        return ApiError(
            415, "unsupported_media", "send JSON, with the header Content-Type: application/json"
        )
    return invalid(error.errors()[0])


def _of_http(routes: RouteTable, request: Request, error: HTTPException) -> ApiError:
    status, message, headers = error.status_code, str(error.detail), dict(error.headers or {})
    if status == 404:
        message = "there is nothing at this path"
    elif status == 405:
        # Starlette names the methods of the first route with this path only.
        headers["Allow"] = ", ".join(routes.allowed_methods(request.scope))
        message = f"this path allows {headers['Allow']}"
    return ApiError(status, _TYPES.get(status, "invalid_request"), message, headers)
