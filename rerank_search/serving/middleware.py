"""What every request goes through: an id, the gate, the bounds of its body, headers, a log line."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Mapping, MutableMapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from rerank_search.serving.body import bounded
from rerank_search.serving.error_handlers import error_response
from rerank_search.serving.errors import ApiError, internal_error
from rerank_search.serving.ignored import ignoring
from rerank_search.serving.request_log import record
from rerank_search.serving.visible import showing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Send

    from rerank_search.serving.limits import Limits
    from rerank_search.serving.metrics import Metrics
    from rerank_search.serving.route_table import RouteTable
    from rerank_search.serving.security import Gate

logger = logging.getLogger("rerank_search.serving")

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
    """The outermost layer but CORS: whatever happens, the answer has an id, headers, a log line.

    Requests that the gate refuses go no further. If ``lenient``, unsupported fields of other
    services' requests are ignored, and the answer names them in X-Ignored-Fields.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: RouteTable,
        metrics: Metrics,
        limits: Limits,
        gate: Gate,
        lenient: bool,
    ) -> None:
        self._app = app
        self._routes = routes
        self._metrics = metrics
        self._limits = limits
        self._gate = gate
        self._lenient = lenient

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Handle an HTTP request; pass anything else on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        facts = self._routes.facts(scope)
        state["request_id"], state["facts"], state["shape"] = request_id, facts, facts.shape
        started, status = time.perf_counter(), 0
        ignored: list[str] = []

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                sent = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    sent.setdefault(name, value)
                sent["X-Request-ID"] = request_id
                if ignored:
                    sent["X-Ignored-Fields"] = ", ".join(map(quote, dict.fromkeys(ignored)))
            await send(message)

        caller = ""
        try:
            self._gate.check_host(headers)
            sender = self._gate.caller(scope, headers, facts)
            caller, state["key"] = sender.name, sender.key
            self._gate.check_rate(caller, facts)
            with ExitStack() as stack:
                stack.enter_context(showing(sender.indexes))
                if self._lenient:
                    ignored = stack.enter_context(ignoring())
                await self._app(scope, bounded(facts, headers, self._limits, receive), answer)
        except ClientDisconnect:
            status = status or 499  # the client has disconnected
        except ApiError as error:
            await error_response(error, state)(scope, receive, answer)
        except Exception:
            logger.exception("request %s failed", request_id)
            if not status:
                await error_response(internal_error(), state)(scope, receive, answer)
        finally:
            record(
                self._metrics,
                scope,
                request_id=request_id,
                status=status,
                seconds=time.perf_counter() - started,
                caller=caller,
            )
