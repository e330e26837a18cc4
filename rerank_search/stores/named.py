"""Stores as people name them among other things: by a URL, or as NAME=URL."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rerank_search.errors import InvalidInputError
from rerank_search.index_names import is_servable
from rerank_search.shown import shown
from rerank_search.stores.url import is_store_url, store_url

_STAGE = re.compile(r"(.*)#([A-Za-z][A-Za-z0-9_-]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class NamedStore:
    """A store's URL and its name; ``stage`` is the first stage that the URL names at its end."""

    name: str
    url: str = field(repr=False)
    stage: str | None = None


def is_named_store(given: object) -> bool:
    """Whether this may be the URL of a store, with or without a name before it."""
    return isinstance(given, str) and is_store_url(_parts(given)[1])


def named_store(given: str) -> NamedStore:
    """The store of ``URL``, ``URL#STAGE``, ``NAME=URL`` or ``NAME=URL#STAGE``.

    Without a name it is the table, the collection or the index that the URL names, with the first
    stage if there is one. Raises InvalidInputError, which never shows a password.
    """
    name, url = _parts(given)
    stage = None
    if (found := _STAGE.fullmatch(url)) is not None:
        url, stage = found.groups()
    address = store_url(url)
    if name is None:
        own = address.options.get("table") or address.name
        name = own if stage is None else f"{own}-{stage}"
        if not is_servable(name):
            raise InvalidInputError(
                f"name the store at {address}, because its URL has no short name: write NAME=URL, "
                "such as notes=postgresql://..."
            )
    elif not is_servable(name):
        raise InvalidInputError(
            f"{shown(name)} cannot be the name of a store: use up to 64 letters, digits, '.', '_' "
            "and '-', and begin with a letter or a digit"
        )
    return NamedStore(name, url, stage)


def _parts(given: str) -> tuple[str | None, str]:
    """What stands before the URL, if anything does, and the URL."""
    name, _, url = given.partition("=")
    return (None, given) if is_store_url(given) or not is_store_url(url) else (name, url)
