"""JSON from callers: strict, and bounded in depth and number of values."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json
from starlette.exceptions import HTTPException

from rerank_search.serving.body import BYTE_ORDER_MARK
from rerank_search.serving.dependencies import service_of
from rerank_search.serving.errors import ApiError
from rerank_search.serving.limits import Limits, too_large

_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""A bracket, or a whole string, since strings may contain brackets.

The quantifiers are possessive, so that a string without an end is read only once.
"""

_PARSED_AT_ONCE = 65_536
"""Largest body, in bytes, that is parsed in the event loop instead of a thread."""


def strict_json(content: bytes, levels: int) -> Any:
    """The value of the JSON, which may begin with a byte order mark.

    Raises ApiError 400, also for NaN, for half a surrogate and above ``levels`` of nesting.
    """
    content = content.removeprefix(BYTE_ORDER_MARK)
    # Counting is cheap, and most bodies have fewer brackets than the allowed levels.
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
        raise _invalid(f"the body is not valid JSON ({error})") from None


def _few_values(content: bytes, limits: Limits) -> Any:
    """The value of the JSON. Raises ApiError as ``strict_json``, and 413 for too many values.

    The event loop can check that many.
    """
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
    """A request whose JSON is strict and bounded; a long one is parsed in a thread."""

    async def json(self) -> Any:
        content = await self.body()
        limits = (await service_of(self)).limits
        try:
            if len(content) <= _PARSED_AT_ONCE:
                return _few_values(content, limits)
            return await anyio.to_thread.run_sync(_few_values, content, limits)
        except ApiError as error:  # FastAPI turns any other exception into a 400
            raise HTTPException(error.status, str(error)) from None


class StrictJsonRoute(APIRoute):
    """A route that reads its JSON bodies strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of requests, which FastAPI asks for once."""
        handle = super().get_route_handler()

        async def with_strict_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return with_strict_json
