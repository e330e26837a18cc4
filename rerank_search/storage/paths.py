"""The names in filters: a literal top-level key, or a path to nested keys.

``$.author.name`` is the key ``name`` of the mapping under ``author``. A key that has a dot, a
quotation mark or a bracket is written as a JSON string: ``$.author."first.name"``. A list on the
way stands for its members, so that ``$.authors.name`` has the names of all authors, as a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.attributes import path_key
from rerank_search.types import JsonValue

PATH = "$."
"""The beginning of a path; no operator has it."""

_PLAIN = re.compile(r'[^."\[\]]+')
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Name:
    """A key or a path as a filter has it. ``key`` and ``table`` are where its values are stored."""

    written: str
    steps: tuple[str, ...]

    @property
    def is_nested(self) -> bool:
        """Whether it leads to keys below the top level."""
        return len(self.steps) > 1

    @property
    def key(self) -> str:
        """The key of its rows."""
        return path_key(self.steps) if self.is_nested else self.steps[0]

    @property
    def table(self) -> str:
        """The table of its rows."""
        return "path_values" if self.is_nested else "attributes"


def name_of(key: str) -> Name:
    """The name that a filter's key stands for. Raises InvalidFilterError for an invalid path."""
    return Name(key, tuple(_steps(key)) if key.startswith(PATH) else (key,))


def written(steps: tuple[str, ...]) -> str:
    """The path as a filter has it."""
    parts = (
        step if _PLAIN.fullmatch(step) else json.dumps(step, ensure_ascii=False) for step in steps
    )
    return PATH + ".".join(parts)


def paths_in(metadata: Mapping[str, JsonValue], key: str) -> Iterator[tuple[str, ...]]:
    """The paths to all keys inside a top-level key of a document."""
    return _below(metadata.get(key), (key,))


def _below(value: JsonValue, steps: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield (*steps, key)
            yield from _below(member, (*steps, key))
    elif isinstance(value, list):
        for member in value:
            yield from _below(member, steps)


def _steps(path: str) -> Iterator[str]:
    position = len(PATH) - 1
    while position < len(path):
        if path[position] != ".":
            raise _invalid(path)
        position += 1
        if path.startswith('"', position):
            try:
                step, position = _DECODER.raw_decode(path, position)
            except ValueError:
                raise _invalid(path) from None
            yield step
        elif (plain := _PLAIN.match(path, position)) is not None:
            yield plain.group()
            position = plain.end()
        else:
            raise _invalid(path)


def _invalid(path: str) -> InvalidFilterError:
    return InvalidFilterError(
        f"{shown(path)} is not a path to a nested key: write it as $.author.name, and keys with a "
        'dot, a quotation mark or a bracket in double quotes, as in $.author."first.name". Lists '
        "need no index: a list matches if one of its members does"
    )
