"""The errors of LanceDB as errors of stores."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from rerank_search.errors import (
    InvalidInputError,
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

_KINDS: tuple[tuple[type[StoreError], tuple[str, ...], str], ...] = (
    (StoreFullError, ("No space left", "os error 28"), "make room there, then write again"),
    (
        StoreAccessError,
        ("ermission denied", "AccessDenied", "Unauthorized", "Forbidden", "InvalidAccessKey"),
        "check the permissions, and the credentials in the environment",
    ),
    (
        StoreUnreachableError,
        ("onflict", "Incompatible transaction", "ConnectError", "dns error", "kind: Connect"),
        "check the address, or try again later",
    ),
    (StoreTimeoutError, ("Query timeout", "timed out", "kind: Timeout"), "use a longer timeout"),
    (StoreNotFoundError, ("was not found", "Not found", "NotFound"), "check its name"),
    (
        StoreMismatchError,
        ("No field named", "doesn't match", "chema", "olumn"),
        "open the store again, with the columns that it has now",
    ),
)
"""What LanceDB says for each kind of error, as it raises ValueError or RuntimeError for all, and
what to do then."""

_SOURCE = re.compile(r",? /\S+\.rs:\d+:\d+")
"""The place in LanceDB's own code, at the end of its messages."""


@contextmanager
def lance_errors(url: StoreUrl) -> Iterator[None]:
    """Raise what LanceDB raises as StoreError."""
    try:
        yield
    except (StoreError, InvalidInputError):
        raise
    except (ValueError, RuntimeError, OSError) as error:
        raise _as_store_error(url, error) from error


def _as_store_error(url: StoreUrl, error: Exception) -> StoreError:
    said = _SOURCE.sub("", str(error))
    for kind, words, fix in _KINDS:
        if any(word in said for word in words):
            return kind(f"{url}: {shown(said, 300)}: {fix}")
    return StoreError(f"{url}: {shown(said, 300)}")
