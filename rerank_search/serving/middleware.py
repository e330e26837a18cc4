"""What every request goes through: an id, a key, a limit of its rate, a log line, headers."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from rerank_search.errors import RerankError, RerankSearchError
from rerank_search.serving.errors import ApiError, Shape, api_error, body, internal_error
from rerank_search.serving.keys import Key, KeyFile, Scope
from rerank_search.serving.limits import too_large
from rerank_search.serving.log import FIELDS
from rerank_search.serving.traces import trace_id

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Send

    from rerank_search.serving.limits import Limits, RateLimiter
    from rerank_search.serving.metrics import Metrics

logger = logging.getLogger("rerank_search.serving")

RERANK_PATHS = frozenset({"/rerank", "/v1/rerank", "/v2/rerank", "/score"})
STREAMED = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
"""Bodies that are stored while they come in."""

_PORT = re.compile(r":\d*$")
_UPLOAD = re.compile("/v1/indexes/[^/]+/documents")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})

_PUBLIC = ("/health/", "/ui/")
_PAGES = frozenset({"/", "/openapi.json", "/favicon.ico"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


class RequestMiddleware:
    """The outermost layer: whatever happens inside, the answer has an id, headers and a log line.

    Where there are keys, everything but health and the page needs one: to change an index one
    for writing. It is asked for before a byte of the body is read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        limits: Limits,
        keys: KeyFile | None,
        rate: RateLimiter | None,
        hosts: frozenset[str] | None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._limits = limits
        self._keys = keys
        self._rate = rate
        self._hosts = hosts

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle a request; anything else is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"], state["shape"] = request_id, shape_of(scope["path"])
        started, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    sent.setdefault(name, value)
                sent["X-Request-ID"] = request_id
            await send(message)

        caller = ""
        try:
            self._check_host(headers)
            caller = self._caller(scope, headers)
            if self._rate is not None and not _is_public(scope["path"]):
                self._rate.check(caller)
            await self._app(scope, self._bounded(scope, headers, receive), answer)
        except ClientDisconnect:
            status = status or 499  # nobody is there to answer
        except ApiError as error:
            await error_response(error, state)(scope, receive, answer)
        except Exception:
            logger.exception("request %s failed", request_id)
            if not status:
                await error_response(internal_error(), state)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            # Anybody can make up methods, and each would be counted for ever.
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.request(method, route, status, seconds)
            _log(scope, request_id, caller, status, seconds)

    def _check_host(self, headers: Headers) -> None:
        """Refuse names by which a page elsewhere may have been led here (DNS rebinding)."""
        name = _PORT.sub("", headers.get("host", ""))
        if self._hosts is not None and name.lower() not in self._hosts:
            raise ApiError(
                403,
                "unknown_host",
                f"without keys this server is {', '.join(sorted(self._hosts))}, not {name!r:.100}",
            )

    def _bounded(self, scope: Mapping[str, Any], headers: Headers, receive: Receive) -> Receive:
        """``receive`` of a body that is not too long. Raises ApiError 413 where it says it is."""
        streamed = _UPLOAD.fullmatch(scope["path"]) and media_type(headers) in STREAMED
        limits = self._limits
        most = limits.upload_bytes if streamed else limits.body_bytes
        problem = (
            f"the body is above {most:,} bytes: send less at a time, or documents as NDJSON, "
            "which is stored while it comes in"
        )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise too_large(problem)
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise HTTPException(413, problem)  # of which FastAPI makes no 400
            return message

        return bounded

    def _caller(self, scope: Mapping[str, Any], headers: Headers) -> str:
        """Whose request it is, for the log and the rate limit. Raises ApiError 401 or 403."""
        address = (scope.get("client") or ("", 0))[0]
        if self._keys is None or _is_public(scope["path"]):
            return str(address)
        secret = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        if not secret:
            raise _unauthorized("a key is needed: send it as 'Authorization: Bearer KEY'")
        try:
            key = self._keys.find(secret)
        except RerankSearchError:
            logger.exception("the file of keys cannot be read")
            raise ApiError(503, "keys_unavailable", "keys cannot be checked now") from None
        if key is None:
            raise _unauthorized("this key is not known here: it is wrong, or was removed")
        _require(key, needed_scope(scope["method"], scope["path"]))
        return key.name


def error_response(error: ApiError, state: Mapping[str, Any]) -> JSONResponse:
    """An error in the shape of the API that was called."""
    content = body(error, state["shape"], state["request_id"])
    return JSONResponse(content, status_code=error.status, headers=error.headers)


def answered(error: RerankSearchError, state: Mapping[str, Any]) -> JSONResponse:
    """Any error of ours as a response; one that is not the caller's fault is logged."""
    known = api_error(error)
    if known.status >= 500:
        # What a reranker complains of has texts in it.
        said = type(error).__name__ if isinstance(error, RerankError) else error.__cause__ or error
        logger.error("request %s failed: %s", state["request_id"], said)
    return error_response(known, state)


def media_type(headers: Headers) -> str:
    """The kind of a request's body, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def shape_of(path: str) -> Shape:
    """What an error looks like there."""
    return "rerank" if path in RERANK_PATHS else "native"


def needed_scope(method: str, path: str) -> Scope:
    """What a key must be for."""
    changes = path.startswith("/v1/indexes") and method not in ("GET", "HEAD", "OPTIONS")
    return "write" if changes else "read"


def _require(key: Key, scope: Scope) -> None:
    if scope == "write" and key.scope != "write":
        raise ApiError(
            403, "forbidden", f"the key {key.name!r} is for reading: use one made with --write"
        )


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})


def _bearer(header: str) -> str:
    kind, _, secret = header.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def _is_public(path: str) -> bool:
    return path in _PAGES or path.startswith(_PUBLIC)


def is_untraced(scope: MutableMapping[str, Any]) -> bool:
    """What is no call of the API: its addresses may have queries in them, or come by the minute."""
    return _is_public(scope["path"]) or scope["path"] == "/metrics"


def _log(
    scope: Mapping[str, Any], request_id: str, caller: str, status: int, seconds: float
) -> None:
    line = {
        "request_id": request_id,
        "caller": caller,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 1),
    }
    if (traced := trace_id()) is not None:
        line["trace_id"] = traced
    logger.info("%s %s: %d", scope["method"], scope["path"], status, extra={FIELDS: line})
