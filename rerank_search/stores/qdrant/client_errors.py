"""The errors of Qdrant's client for a server, as errors of stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from rerank_search.errors import (
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.shown import shown
from rerank_search.stores.url import StoreUrl

_LATER = (429, 502, 503, 504)
"""Statuses after which the same call may work."""


@contextmanager
def server_errors(url: StoreUrl, variable: str, key: str | None) -> Iterator[None]:
    """Raise the errors of the client as StoreError, without the key.

    ``variable`` is the environment variable that has the key.
    """
    try:
        yield
    except UnexpectedResponse as error:
        raise _refused(url, variable, key, error) from error
    except ResourceExhaustedResponse as error:
        raise StoreUnreachableError(
            f"{url} takes no more requests now: try again later, or send fewer at a time"
        ) from error
    except ResponseHandlingException as error:
        raise _unanswered(url, error.source) from error


def _refused(
    url: StoreUrl, variable: str, key: str | None, error: UnexpectedResponse
) -> StoreError:
    status, said = error.status_code, _said(error.content, key)
    if status in (401, 403):
        known = "refuses the key" if key else "wants a key"
        return StoreAccessError(f"{url} {known} ({said}): set {variable} to a valid key")
    if status == 404:
        return StoreNotFoundError(f"{url} does not exist there ({said}): check its name")
    if status in _LATER:
        return StoreUnreachableError(f"{url} cannot answer now ({status}: {said}): try again later")
    if status == 408:
        return StoreTimeoutError(f"{url} did not answer in time ({said}): use a longer timeout")
    if status == 413:
        return StoreError(f"{url} takes smaller requests only: use a lower batch_size")
    if "no space left" in said.lower() or "disk" in said.lower():
        return StoreFullError(
            f"{url} has no space left ({said}): make room there, then write again"
        )
    if status in (400, 422):
        return StoreMismatchError(
            f"{url} refuses the call ({said}): check that the collection is as it was, and that "
            "the server is Qdrant 1.20 or newer"
        )
    return StoreError(f"{url} answers with the error {status}: {said}")


def _unanswered(url: StoreUrl, source: Exception) -> StoreError:
    if isinstance(source, httpx.TimeoutException):
        return StoreTimeoutError(f"{url} did not answer in time: use a longer timeout")
    if isinstance(source, httpx.RequestError):
        reason = str(source) or type(source).__name__
        return StoreUnreachableError(
            f"{url} cannot be reached ({reason}): check the address, and that the server runs"
        )
    return StoreError(
        f"the answer of {url} cannot be read ({shown(str(source), 300)}): check that a server of "
        "Qdrant is at this address"
    )


def _said(content: bytes, key: str | None) -> str:
    """The message of the server's error, without the key."""
    try:
        said = json.loads(content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        said = content.decode(errors="replace")
    if key is not None and isinstance(said, str):
        said = said.replace(key, "(the key)")
    return shown(said, 300)
