"""Names of models that are URLs: one, or several with commas between them."""

from __future__ import annotations

import re

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

_BETWEEN = re.compile(r"\s*,\s*(?=[a-z][a-z0-9+.-]*://)", re.IGNORECASE)
_FURTHER = re.compile(r"[^#]*,|.*,.*/")
"""A comma in an address, or a further address after the name of a model."""


def is_url(name: object) -> bool:
    """Whether the name of a model is a URL."""
    return isinstance(name, str) and name[:8].lower().startswith(("http://", "https://"))


def urls_of(name: str) -> list[str]:
    """The URLs that the name of a model consists of, which commas separate."""
    return _BETWEEN.split(name) if is_url(name) else [name]


def check_one(url: str) -> None:
    """Raise InvalidInputError for several URLs, also if only the first has a scheme."""
    if _FURTHER.match(url):
        first = url.partition(",")[0]  # after the comma may be a password
        raise InvalidInputError(
            f"url has a comma after {shown(first)}, and is not one URL: begin each of several with "
            "http:// or https:// (a reranker can have several, an encoder has one), and write a "
            "comma that belongs to a path as %2C"
        )
