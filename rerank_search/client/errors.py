"""The errors for answers of a server that are not results, and for missing answers."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2

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

_BY_TYPE: Mapping[str, type[RerankSearchError]] = {
    "invalid_request": InvalidInputError,
    "too_large": InvalidInputError,
    "not_found": IndexNotFoundError,
    "exists": IndexExistsError,
    "locked": IndexLockedError,
    "read_only": IndexReadOnlyError,
    "storage_full": StorageFullError,
    "index_unavailable": SearchIndexError,
    "model_not_found": ModelNotFoundError,
    "reranker_failed": RerankError,
    "store_unavailable": StoreUnreachableError,
    "store_timeout": StoreTimeoutError,
    "store_failed": StoreError,
}

_BY_CODE: Mapping[str, type[RerankSearchError]] = {
    "invalid_filter": InvalidFilterError,
    "invalid_document": InvalidDocumentError,
    "index_corrupted": IndexCorruptedError,
    "index_format": IndexFormatError,
    "index_mismatch": IndexMismatchError,
    "store_not_found": StoreNotFoundError,
    "store_mismatch": StoreMismatchError,
    "store_access": StoreAccessError,
    "store_full": StoreFullError,
}
"""The classes of errors with a code, which earlier servers do not send."""

_FIXES: Mapping[str, str] = {
    "unauthorized": " (api_key=... of the client)",
    "rate_limited": ", or give the client more retries",
    "overloaded": ", or give the client more retries",
}


def refused(where: str, answer: httpx2.Response) -> RerankSearchError:
    """The error of an answer that is not a success; ``where`` is the method and the URL."""
    try:
        described = answer.json()["error"]
        kind, message = str(described["type"]), str(described["message"])
        code = str(described.get("code"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return unreadable(where, answer)
    request_id = answer.headers.get("x-request-id")
    if (known := _BY_CODE.get(code) or _BY_TYPE.get(kind)) is not None:
        error = known(message)
        error.add_note(f"{where}: {answer.status_code} {kind}, request {request_id}")
        return error
    return ServerError(
        f"{where}: {answer.status_code} {kind}, request {request_id}: "
        f"{message}{_FIXES.get(kind, '')}",
        status=answer.status_code,
        type=kind,
        request_id=request_id,
    )


def unreadable(where: str, answer: httpx2.Response) -> ServerError:
    """The error of an answer that does not come from a rerank-search server."""
    return ServerError(
        f"{where}: the answer ({answer.status_code}) does not come from a rerank-search server: "
        "check the client's base_url, any proxy before the server, and that both have the same "
        "version",
        status=answer.status_code,
        request_id=answer.headers.get("x-request-id"),
    )


def unanswered(where: str, error: httpx2.RequestError, timeout: float) -> ServerError:
    """The error of a request without an answer."""
    if isinstance(error, httpx2.TimeoutException):
        return ServerError(
            f"{where}: no answer within {timeout:g} s: raise the client's timeout, or ask for less "
            "(fewer candidates, shorter texts)",
            type="timeout",
        )
    reason = str(error) or type(error).__name__
    return ServerError(
        f"{where}: the connection failed ({reason}): check the client's base_url, and that "
        "`rerank-search serve` runs there",
        type="connection",
    )
