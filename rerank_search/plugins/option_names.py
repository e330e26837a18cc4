"""A framework's own names of search options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown


def renamed(given: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """The arguments with a framework's names replaced, such as ``k="top_k"``.

    Raises InvalidInputError if an option is given by both names.
    """
    arguments = dict(given)
    for own, name in names.items():
        if own not in arguments:
            continue
        value = arguments.pop(own)
        if name in arguments:
            raise InvalidInputError(
                f"{own}={shown(value)} and {name}={shown(arguments[name])} are the same option: "
                "give one of them"
            )
        arguments[name] = value
    return arguments
