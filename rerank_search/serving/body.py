"""The bodies of requests while they come in: their media type, encoding and size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from rerank_search.serving.limits import Limits, too_large
from rerank_search.serving.route_table import Facts

if TYPE_CHECKING:
    from starlette.types import Message, Receive

STREAMED = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
"""Media types of bodies that are stored while they come in."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""The beginning of a body that some editors and shells write; it is skipped."""


def media_type(headers: Headers) -> str:
    """The media type of a body, without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def bounded(facts: Facts, headers: Headers, limits: Limits, receive: Receive) -> Receive:
    """``receive`` for a body that is not compressed and not above the limit of its route.

    Raises ApiError 413 if the length that the headers give is above the limit. While the body is
    read, raises HTTPException, which FastAPI does not turn into a 400: 413 for one that is longer,
    415 for one that is compressed.
    """
    streamed = facts.streams and media_type(headers) in STREAMED
    most = limits.upload_bytes if streamed else limits.body_bytes
    problem = (
        f"the body is larger than {most:,} bytes: send less at a time, or documents as NDJSON, "
        "which is stored while it comes in"
    )
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large(problem)
    encoding = headers.get("content-encoding", "identity").strip()
    encoded = encoding.lower() not in ("", "identity")
    size = 0

    async def checked() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if encoded and size:
            raise HTTPException(
                415,
                f"Content-Encoding {encoding!r:.100} is not supported: send the body uncompressed, "
                "without this header",
            )
        if size > most:
            raise HTTPException(413, problem)
        return message

    return checked
