"""JSON of strangers: strict, and bounded in depth."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

from rerank_search.serving.errors import ApiError

_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Brackets, and strings, which may have brackets in them.

Possessive, so that no character is tried twice: a string that does not end goes to the end, once.
"""


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


def _invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_request", message)
