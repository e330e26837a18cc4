"""JSON of strangers: strict, and bounded in depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from rerank_search.serving.errors import ApiError
from rerank_search.serving.limits import Limits, too_large

_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Brackets, and strings, which may have brackets in them.

Possessive, so that no character is tried twice: a string that does not end goes to the end, once.
"""

_PARSED_AT_ONCE = 65_536
"""Bytes of a body that are parsed without a thread."""


def strict_json(content: bytes, levels: int) -> Any:
    """What the JSON says.

    Raises ApiError 400: also for NaN and for half a surrogate, and above ``levels`` of nesting.
    """
    # Counting is cheap, and most bodies have fewer brackets than levels are allowed.
    if content.count(b"[") + content.count(b"{") > levels:
        depth = 0
        for found in _MARKS.finditer(content):
            mark = found.group()
            depth += (mark in (b"[", b"{")) - (mark in (b"]", b"}"))
            if depth > levels:
                raise _invalid(f"the JSON is nested deeper than {levels} levels")
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise _invalid(f"the body is no JSON ({error})") from None


def _bounded(content: bytes, limits: Limits) -> Any:
    """The same, with few enough values to be checked by the event loop. Raises ApiError 413 too."""
    found = strict_json(content, limits.json_levels)
    count, waiting = 0, [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            count += len(value)
            if count > limits.json_values:
                raise too_large(f"the JSON has more than {limits.json_values:,} values: send fewer")
            waiting.extend(value.values() if isinstance(value, dict) else value)
    return found


def _invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_request", message)


class _JsonRequest(Request):
    """A request whose JSON is strict, bounded in depth, and parsed beside the event loop."""

    async def json(self) -> Any:
        content = await self.body()
        limits = self.app.state.service.limits
        try:
            if len(content) <= _PARSED_AT_ONCE:
                return _bounded(content, limits)
            return await anyio.to_thread.run_sync(_bounded, content, limits)
        except ApiError as error:  # FastAPI passes on its own exception only
            raise HTTPException(error.status, str(error)) from None


class StrictJsonRoute(APIRoute):
    """A route whose requests are read so."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI calls, once, for what it calls for each request."""
        handle = super().get_route_handler()

        async def with_strict_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return with_strict_json
