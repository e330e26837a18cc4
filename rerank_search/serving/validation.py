"""What is wrong with an invalid request, in a sentence: where, and what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rerank_search.serving.errors import ApiError
from rerank_search.serving.schemas.base import is_tag
from rerank_search.shown import reason

_NOT_AN_OBJECT = ("model_type", "model_attributes_type", "dict_type")


def invalid(problem: Mapping[str, Any]) -> ApiError:
    """The error for a problem that pydantic found."""
    path = [str(part) for part in problem["loc"]]
    if path[:1] == ["body"]:
        path = path[1:]
    where = ".".join(part for part in path if not is_tag(part))
    if problem["type"] in _NOT_AN_OBJECT:
        message = f"{where or 'the body'} is not a JSON object: send one, such as {{}}"
    elif problem["type"] == "missing" and not where:
        message = "the body is empty: send a JSON object"
    else:
        said = reason(problem)
        message = f"{where}: {said}" if where else said
    return ApiError(400, "invalid_request", message)
