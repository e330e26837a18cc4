"""URLs in place of an index's folder, and the key for a server: one rule for every plugin."""

from __future__ import annotations

from urllib.parse import unquote

from rerank_search.errors import InvalidInputError
from rerank_search.settings import Settings
from rerank_search.stores.url import store_url

_INDEXES = "/v1/indexes/"


def is_url(index: object) -> bool:
    """Whether this is the URL of an index on a server."""
    return isinstance(index, str) and index.lower().startswith(("http://", "https://"))


def check_without_password(url: str) -> None:
    """Raise InvalidInputError for a store's URL that is not valid, or that has a password.

    A plugin is printed, copied, pickled and written to files with its arguments.
    """
    address = store_url(url)
    if address.has_secret:
        raise InvalidInputError(
            f"index={str(address)!r} has a password or a key, which would be shown and stored with "
            "this object: leave it out, and set it in the environment (such as PGPASSWORD), or "
            "give searcher=Searcher(open_store(...))"
        )


def parts_of_url(url: str) -> tuple[str, str | None]:
    """The address of the server, and the name of the index; None if the URL names none."""
    base, _, name = url.partition(_INDEXES)
    return base, unquote(name.rstrip("/")) or None


def shared_key() -> str | None:
    """The key in RERANK_SEARCH_API_KEY, for a server that is given without one."""
    key = Settings().api_key
    return None if key is None else key.get_secret_value()
