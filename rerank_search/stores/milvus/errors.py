"""The errors of Milvus's client as errors of stores."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import grpc
from pymilvus.exceptions import ConnectionConfigException, DataNotMatchException, MilvusException

from rerank_search.errors import (
    InvalidDocumentError,
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

_KINDS: tuple[tuple[type[StoreError], tuple[object, ...], str], ...] = (
    (
        StoreTimeoutError,
        (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED, 10_000, 10_001),
        "did not answer in time: use a longer timeout",
    ),
    (
        StoreAccessError,
        (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED, 1400, 1401, 1800),
        "refuses the key, or what its user wants to do: set {variable} to USER:PASSWORD or a token",
    ),
    (
        StoreUnreachableError,
        (grpc.StatusCode.UNAVAILABLE, 2, 4, 8, 12, 103, 106),
        "cannot be reached, or cannot answer now: check the address, or try again later",
    ),
    (StoreFullError, (3, 7, 9), "has no space left: make room there, then write again"),
    (StoreNotFoundError, (100, 800), "does not exist there: check its name"),
    (
        StoreMismatchError,
        (6, 101, 700, 701, 1100, 1101, 1102, 1700, 1701),
        "refuses the call: check that the collection is as it was, and that the server is Milvus "
        "2.6 or newer",
    ),
    (
        StoreError,
        (grpc.StatusCode.RESOURCE_EXHAUSTED,),
        "takes smaller requests only: use a lower batch_size",
    ),
)
"""What each status of gRPC and each code of Milvus means."""

_OURS = ContextVar("in a call of a store", default=False)


def _is_others(record: logging.LogRecord) -> bool:
    return not _OURS.get()


for _name in ("pymilvus.decorators", "milvus_lite.server_manager"):
    # They log a traceback of each error that they raise, on the standard error stream.
    logging.getLogger(_name).addFilter(_is_others)


@contextmanager
def milvus_errors(url: StoreUrl, variable: str, key: str | None) -> Iterator[None]:
    """Raise the errors of the client as StoreError or InvalidDocumentError, without the key.

    ``variable`` is the environment variable that has the key.
    """
    before = _OURS.set(True)
    try:
        yield
    except ConnectionConfigException as error:
        raise StoreUnreachableError(
            f"{url} cannot be opened ({shown(error.message, 300)}): check that no other process "
            "has it open, and that its folder can be written"
        ) from error
    except DataNotMatchException as error:
        raise InvalidDocumentError(
            f"a document does not fit the fields of {url} ({shown(error.message, 300)}): change "
            "its metadata"
        ) from error
    except MilvusException as error:
        raise _as_store_error(url, variable, key, error, error.message) from error
    except grpc.RpcError as error:
        raise _as_store_error(url, variable, key, error, error.details()) from error
    finally:
        _OURS.reset(before)


def _as_store_error(
    url: StoreUrl, variable: str, key: str | None, error: BaseException, said: str
) -> StoreError:
    # A failed connection has the code of a server that is not there, whatever the status was.
    cause = error if isinstance(error, grpc.RpcError) else error.__cause__
    code = cause.code() if isinstance(cause, grpc.RpcError) else getattr(error, "code", None)
    said = shown(said.replace(key, "(the key)") if key else said, 300)
    for kind, codes, meaning in _KINDS:
        if code in codes:
            return kind(f"{url} ({said}) {meaning.format(variable=variable)}")
    if getattr(error, "retriable", False):
        return StoreUnreachableError(f"{url} cannot answer now ({said}): try again later")
    return StoreError(f"{url} answers with the error {code}: {said}")
