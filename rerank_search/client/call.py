"""A call of the HTTP API: what is sent, and how the answer is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from rerank_search.errors import InvalidFilterError, InvalidInputError
from rerank_search.queries import check_text
from rerank_search.shown import shown
from rerank_search.types import Filter, JsonValue

Result = TypeVar("Result")
Item = TypeVar("Item")

JSON, NDJSON = "application/json", "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """A request, and how its answer is read.

    One that is not ``repeatable`` must not reach the server twice.
    """

    method: str
    path: str
    read: Callable[[Any], Result]
    content: bytes | None = None
    media: str = JSON
    repeatable: bool = True

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the request, which name the type of its body."""
        return {} if self.content is None else {"Content-Type": self.media}


def post(path: str, body: object, read: Callable[[Any], Result]) -> Call[Result]:
    """A POST request with a body of JSON. Raises InvalidInputError."""
    return Call("POST", path, read, as_json(body))


def as_json(value: object) -> bytes:
    """The value as JSON. Raises InvalidInputError for what JSON cannot hold."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"an argument cannot be sent as JSON ({error}): use strings, numbers, bools, None, and "
            "lists and dicts of these"
        ) from error


def _plain(value: object) -> JsonValue:
    """NumPy's numbers, sets and other mappings as JSON's own types."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    raise TypeError(f"{shown(value)} is not JSON")


def in_parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in parts of at most ``size``, one for each request."""
    return (items[start : start + size] for start in range(0, len(items), size))


def index_name(given: object) -> str:
    """The name of an index. Raises InvalidInputError for anything but a valid string."""
    if not isinstance(given, str):
        raise InvalidInputError(f"index={shown(given)} is not a name: give the name of an index")
    check_text(given, "the name of the index")
    return given


def path_of_index(index: str | None) -> str:
    """The path of an index. Raises InvalidInputError if it has no name.

    A search may leave the name out; a change may not, since it could hit the wrong index.
    """
    if not index:
        raise InvalidInputError("name the index: Client(base_url, index)")
    return f"/v1/indexes/{quote(index_name(index), safe='')}"


def check_filter(filter: Filter) -> Filter:
    """The filter, if it is a mapping; the server checks its contents."""
    if not isinstance(filter, Mapping):
        raise InvalidFilterError(
            f"the filter is {shown(filter)}: give a mapping such as {{'module': 'os'}}"
        )
    return filter
