"""Whether the caller of a request may write; which indexes it sees, the server decides itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerank_search.serving.errors import ApiError
from rerank_search.serving.keys import Key

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext


def may_write(context: ServerRequestContext[Any, Any]) -> bool:
    """Whether whoever sent a request may change documents."""
    key = _key(context)
    return key is None or key.scope == "write"


def check_write(context: ServerRequestContext[Any, Any]) -> None:
    """Raise ApiError 403 unless whoever sent a request may change documents."""
    key = _key(context)
    if key is not None and key.scope != "write":
        raise ApiError(
            403, "forbidden", f"the key {key.name!r} is for reading: use one made with --write"
        )


def _key(context: ServerRequestContext[Any, Any]) -> Key | None:
    """The key of a request; None without keys, and over the standard input."""
    request = context.request
    key: Key | None = None if request is None else request.state.key
    return key
