"""What is wrong with a request, in a sentence: where, and what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rerank_search.serving.errors import ApiError

_NOT_NAMES = ("body", "rerank", "tei")
"""Parts of a place that the body of the request does not have."""


def invalid(problem: Mapping[str, Any]) -> ApiError:
    """The error for the first of pydantic's problems."""
    path = [str(part) for part in problem["loc"] if part not in _NOT_NAMES]
    where = ".".join(path)
    if problem["type"] in ("model_type", "model_attributes_type") and not where:
        message = "the body is a JSON object, in {}: send one"
    else:
        said = str(problem["msg"]).removeprefix("Value error, ")
        message = f"{where}: {said}" if where else said
    return ApiError(400, "invalid_request", message)
