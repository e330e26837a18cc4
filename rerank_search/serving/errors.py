"""What goes wrong in a request, as a status and a stable type, in the shape of the API called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rerank_search.errors import (
    IndexExistsError,
    IndexLockedError,
    IndexNotFoundError,
    IndexReadOnlyError,
    InvalidInputError,
    ModelNotFoundError,
    RerankError,
    RerankSearchError,
    SearchIndexError,
    StorageFullError,
)

Shape: TypeAlias = Literal["native", "rerank", "tei"]
"""Whose errors to look like: ours, those of Cohere, Jina and vLLM (one object has what each of
their clients reads), or those of text-embeddings-inference."""


COME_AGAIN = 5
"""Seconds to wait before a repetition, after the server has waited for a writer itself."""


class ApiError(RerankSearchError):
    """A request that is answered by an error: an HTTP status, and a type that stays the same."""

    def __init__(
        self, status: int, type: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.headers = dict(headers or {})

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), str(self), self.__dict__)


def _again(kind: type[ApiError], message: str, state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class OverloadedError(ApiError):
    """More waits than can be answered soon; ``retry_after`` are seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        seconds = max(1, round(retry_after))
        super().__init__(429, "overloaded", message, {"Retry-After": str(seconds)})


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    type: str
    said: str | None = None
    """In place of the error's own message."""


_KINDS: Mapping[type[RerankSearchError], _Kind] = {
    IndexNotFoundError: _Kind(404, "not_found"),
    IndexExistsError: _Kind(409, "exists"),
    # Who is writing is for the log: process, host and command are no stranger's business.
    IndexLockedError: _Kind(503, "locked", "another process is writing to the index: try again"),
    IndexReadOnlyError: _Kind(403, "read_only"),
    StorageFullError: _Kind(507, "storage_full"),
    SearchIndexError: _Kind(500, "index_unavailable"),
    ModelNotFoundError: _Kind(404, "model_not_found"),
    RerankError: _Kind(500, "reranker_failed"),
    InvalidInputError: _Kind(400, "invalid_request"),
}
"""By class; of several that fit, the first. 503 is only for what clears by itself."""

_TEI_TYPES = {400: "validation", 413: "validation", 422: "validation", 429: "overloaded"}


def api_error(error: RerankSearchError) -> ApiError:
    """The error as a request is answered with it."""
    if isinstance(error, ApiError):
        return error
    for kind, known in _KINDS.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(COME_AGAIN)} if known.status == 503 else {}
            message = known.said or " ".join(str(error).split())
            return ApiError(known.status, known.type, message, headers)
    return internal_error()


def internal_error() -> ApiError:
    """What is not known: the message says nothing that a stranger should not read."""
    return ApiError(500, "internal", "this request failed inside the service; its log has more")


def body(error: ApiError, shape: Shape, request_id: str) -> dict[str, Any]:
    """The JSON of an error."""
    message = str(error)
    if shape == "tei":
        kind = _TEI_TYPES.get(error.status, "backend" if error.status >= 500 else error.type)
        return {"error": message, "error_type": kind, "request_id": request_id}
    described = {"message": message, "type": error.type}
    if shape == "native":
        return {"error": {**described, "request_id": request_id}}
    return {
        "message": message,
        "error": {**described, "param": None, "code": error.status},
        "request_id": request_id,
    }
