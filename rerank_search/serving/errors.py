"""Errors of requests: a status and a stable type, in the shape of the API that was called."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rerank_search.errors import (
    IndexCorruptedError,
    IndexExistsError,
    IndexFormatError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
    IndexReadOnlyError,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidInputError,
    ModelNotFoundError,
    PluginError,
    RerankError,
    RerankSearchError,
    SearchIndexError,
    ServerError,
    StorageFullError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)

logger = logging.getLogger("rerank_search.serving")

Shape: TypeAlias = Literal["native", "rerank", "tei"]
"""The shapes of an error: our own, that of Cohere, Jina and vLLM (one object with what each of
their clients reads), and that of text-embeddings-inference."""

COME_AGAIN = 5
"""Seconds until a client should try again, after the server itself has waited for a writer."""


class ApiError(RerankSearchError):
    """A request that is answered with an error: an HTTP status, and a type that stays the same.

    ``code`` tells apart errors of one type that have classes of their own in the library.
    """

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.headers = dict(headers or {})
        self.code = code

    def saying(self, message: str) -> ApiError:
        """The same error with another message."""
        return ApiError(self.status, self.type, message, self.headers, code=self.code)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), str(self), self.__dict__)


def _restored(kind: type[ApiError], message: str, state: dict[str, Any]) -> ApiError:
    error = kind.__new__(kind, message)
    error.__dict__.update(state)
    return error


class OverloadedError(ApiError):
    """Too many requests wait; ``retry_after`` is the number of seconds until a new attempt."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        seconds = max(1, round(retry_after))
        super().__init__(429, "overloaded", message, {"Retry-After": str(seconds)})


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    type: str
    said: str | None = None
    """The message, if it is not the error's own."""
    code: str | None = None


_IN_LOG = "the store failed; see the log of the server"

_KINDS: Mapping[type[RerankSearchError], _Kind] = {
    IndexNotFoundError: _Kind(404, "not_found"),
    IndexExistsError: _Kind(409, "exists"),
    # The log says who is writing: callers must not see process, host and command.
    IndexLockedError: _Kind(503, "locked", "another process is writing to the index: try again"),
    IndexReadOnlyError: _Kind(403, "read_only"),
    StorageFullError: _Kind(507, "storage_full"),
    IndexCorruptedError: _Kind(500, "index_unavailable", code="index_corrupted"),
    IndexFormatError: _Kind(500, "index_unavailable", code="index_format"),
    IndexMismatchError: _Kind(500, "index_unavailable", code="index_mismatch"),
    SearchIndexError: _Kind(500, "index_unavailable"),
    ModelNotFoundError: _Kind(404, "model_not_found"),
    RerankError: _Kind(500, "reranker_failed"),
    InvalidFilterError: _Kind(400, "invalid_request", code="invalid_filter"),
    InvalidDocumentError: _Kind(400, "invalid_request", code="invalid_document"),
    # Its message has the address of another server, which is not the caller's business.
    ServerError: _Kind(502, "model_server_failed", "the server of the encoder failed: try again"),
    # Messages about a store have its address and its user, which are not the caller's business.
    StoreUnreachableError: _Kind(
        503, "store_unavailable", "the store cannot be reached: try again"
    ),
    StoreTimeoutError: _Kind(504, "store_timeout", "the store did not answer in time: try again"),
    StoreFullError: _Kind(507, "storage_full", "no space is left in the store", code="store_full"),
    StoreNotFoundError: _Kind(500, "store_failed", _IN_LOG, code="store_not_found"),
    StoreMismatchError: _Kind(500, "store_failed", _IN_LOG, code="store_mismatch"),
    StoreAccessError: _Kind(502, "store_failed", _IN_LOG, code="store_access"),
    StoreError: _Kind(502, "store_failed", _IN_LOG),
    InvalidInputError: _Kind(400, "invalid_request"),
}
"""Status, type and code of each class of errors; the first that fits counts.

503 is only for conditions that clear by themselves.
"""

_TEI_TYPES = {400: "validation", 413: "validation", 422: "validation", 429: "overloaded"}


def api_error(error: RerankSearchError) -> ApiError:
    """The error with which a request is answered."""
    if isinstance(error, ApiError):
        return error
    for kind, known in _KINDS.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(COME_AGAIN)} if known.status == 503 else {}
            message = known.said or " ".join(str(error).split())
            return ApiError(known.status, known.type, message, headers, code=known.code)
    return internal_error()


def reported(error: RerankSearchError, request: str) -> ApiError:
    """The error with which a request is answered; one that is not the caller's fault is logged."""
    known = api_error(error)
    if known.status >= 500:
        # The message of a reranker's error may quote texts.
        said = type(error).__name__ if isinstance(error, RerankError) else told(error)
        logger.error("%s failed: %s", request, said)
    return known


def told(error: RerankSearchError) -> BaseException:
    """The error whose message belongs into the log: the cause, if callers see less than that.

    A PluginError names the package, which its cause does not. A StoreError has no password, which
    the message of an engine's client may have.
    """
    if isinstance(error, (PluginError, StoreError)):
        return error
    return error.__cause__ or error


def internal_error() -> ApiError:
    """An unexpected error, with a message that reveals nothing to callers."""
    return ApiError(500, "internal", "the request failed inside the server; see its log")


def body(error: ApiError, shape: Shape, request_id: str) -> dict[str, Any]:
    """The JSON of an error."""
    message = str(error)
    if shape == "tei":
        kind = _TEI_TYPES.get(error.status, "backend" if error.status >= 500 else error.type)
        return {"error": message, "error_type": kind, "request_id": request_id}
    described = {"message": message, "type": error.type}
    if shape == "native":
        code = {} if error.code is None else {"code": error.code}
        return {"error": {**described, **code, "request_id": request_id}}
    return {
        "message": message,
        "error": {**described, "param": None, "code": error.status},
        "request_id": request_id,
    }
