"""The rows by which filters find a document: its metadata values, with their types."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Any

from rerank_search.types import JsonValue

Attribute = tuple[str, str, Any, bool]
"""A key, its kind (null, bool, number, string, nested), SQL value, and whether it is in a list."""

_REMEMBERED = 500
"""Most characters of a path whose key is remembered: most documents have the same paths."""


def attributes(metadata: Mapping[str, JsonValue]) -> set[Attribute]:
    """The rows of a document's top-level metadata keys."""
    return {(key, *row) for key, value in metadata.items() for row in _rows(value, in_list=False)}


def nested_attributes(metadata: Mapping[str, JsonValue]) -> set[Attribute]:
    """The rows of a document's nested keys; their key is the ``path_key``."""
    return {row for key, value in metadata.items() for row in _inside(value, (key,), in_list=False)}


def path_key(steps: tuple[str, ...]) -> str:
    """The key of the rows of a path."""
    short = sum(map(len, steps)) <= _REMEMBERED  # a thousand long ones would fill the memory
    return (_written if short else _written.__wrapped__)(steps)


@functools.lru_cache(maxsize=1024)
def _written(steps: tuple[str, ...]) -> str:
    return json.dumps(steps, ensure_ascii=False)


def kind_of(value: object) -> str:
    """The kind of a value (null, bool, number, string, nested); one kind can be compared."""
    return typed(value)[0]


def typed(value: object) -> tuple[str, Any]:
    """The kind and the SQL value; the kind distinguishes True from 1, and "1" from 1."""
    if value is None:
        return "null", 0
    if isinstance(value, bool):
        return "bool", int(value)
    if isinstance(value, Integral):  # an int, or one of NumPy's
        whole = int(value)
        return "number", whole if -(2**63) <= whole < 2**63 else _as_float(whole)
    if isinstance(value, Real):
        return "number", float(value)
    if isinstance(value, str):
        return "string", str(value)
    return "nested", 0


def _rows(value: JsonValue, *, in_list: bool) -> Iterator[tuple[str, Any, bool]]:
    if isinstance(value, list):
        yield "nested", 0, in_list
        for member in value:
            yield (*typed(member), True)
    else:
        yield (*typed(value), in_list)


def _inside(value: JsonValue, steps: tuple[str, ...], *, in_list: bool) -> Iterator[Attribute]:
    if isinstance(value, dict):
        for name, member in value.items():
            path = (*steps, name)
            key = path_key(path)
            for row in _rows(member, in_list=in_list):
                yield (key, *row)
            yield from _inside(member, path, in_list=in_list)
    elif isinstance(value, list):
        for member in value:
            yield from _inside(member, steps, in_list=True)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
