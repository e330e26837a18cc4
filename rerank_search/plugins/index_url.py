"""The URL of an index on a server, and the key for it: one rule for every plugin."""

from __future__ import annotations

from urllib.parse import unquote

from rerank_search.settings import Settings

_INDEXES = "/v1/indexes/"


def is_url(index: object) -> bool:
    """Whether this is the URL of an index on a server."""
    return isinstance(index, str) and index.lower().startswith(("http://", "https://"))


def parts_of_url(url: str) -> tuple[str, str | None]:
    """The address of the server, and the name of the index; None if the URL names none."""
    base, _, name = url.partition(_INDEXES)
    return base, unquote(name.rstrip("/")) or None


def shared_key() -> str | None:
    """The key in RERANK_SEARCH_API_KEY, for a server that is given without one."""
    key = Settings().api_key
    return None if key is None else key.get_secret_value()
