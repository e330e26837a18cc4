"""The arguments that every search has: whether they can be used at all."""

from __future__ import annotations

from collections.abc import Sequence

from rerank_search.errors import InvalidInputError


def check_k(k: int) -> None:
    """Raise InvalidInputError for k < 1."""
    if k < 1:
        raise InvalidInputError(f"k is {k}: ask for at least 1 result.")


def check_queries(queries: Sequence[str]) -> None:
    """Raise InvalidInputError for one string, and for a query that is no valid text."""
    if isinstance(queries, str):
        raise InvalidInputError(f"queries={queries!r} is one string; give a list of queries")
    for query in queries:
        check_text(query, "the query")


def check_text(text: object, what: str) -> None:
    """Raise InvalidInputError, naming ``what``, for no string and for one that UTF-8 has not."""
    if not isinstance(text, str):
        raise InvalidInputError(f"{what} is not a string: {text!r:.100}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} has a lone surrogate at character {error.start}; remove it, for example with "
            "text.encode(errors='replace').decode()"
        ) from error
