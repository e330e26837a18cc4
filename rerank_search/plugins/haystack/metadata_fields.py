"""What Haystack's document stores tell about metadata: its fields, and the values they have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rerank_search.arguments import several, string, whole_number
from rerank_search.types import JsonValue

Metadata = Mapping[str, JsonValue]


def field_types(metadata: Iterable[Metadata]) -> dict[str, dict[str, str]]:
    """The fields, each with a ``type``: boolean, int, float or keyword; the last value decides."""
    found: dict[str, dict[str, str]] = {}
    for each in metadata:
        for name, value in each.items():
            if value is not None:
                found[name] = {"type": _type(value)}
    return found


def smallest_and_largest(metadata: Iterable[Metadata], field: str) -> dict[str, Any]:
    """``min`` and ``max`` of the numbers or the strings; None without values, or with both."""
    values = [value for value in _values(metadata, field) if isinstance(value, (int, float, str))]
    if not values or len({isinstance(value, str) for value in values}) > 1:
        return {"min": None, "max": None}
    return {"min": min(values), "max": max(values)}


def unique_values(
    metadata: Iterable[Metadata], field: str, search_term: str | None, start: int, size: int
) -> tuple[list[Any], int]:
    """One page of the different values, in the order of their texts, and the number of all.

    ``search_term`` leaves out values whose text does not have it; case does not matter.
    """
    start = whole_number("from_", start, least=0)
    size = whole_number("size", size, least=0)
    wanted = "" if search_term is None else string("search_term", search_term).casefold()
    found = _different(metadata, field)
    named = sorted((_text(value), key) for key, value in found.items())
    keys = [key for text, key in named if wanted in text.casefold()]
    return [found[key] for key in keys[start : start + size]], len(keys)


def numbers_of_values(metadata: Iterable[Metadata], fields: Sequence[str]) -> dict[str, int]:
    """How many different values each field has, by its name without ``meta.``."""
    names = [string("metadata_fields", f) for f in several("metadata_fields", fields, one="names")]
    listed = list(metadata)
    return {field.removeprefix("meta."): len(_different(listed, field)) for field in names}


def _different(metadata: Iterable[Metadata], field: str) -> dict[str, Any]:
    """The different values by their JSON, which also tells 1 from 1.0, "1" and true."""
    return {json.dumps(value, sort_keys=True): value for value in _values(metadata, field)}


def _values(metadata: Iterable[Metadata], field: str) -> Iterator[Any]:
    name = string("metadata_field", field).removeprefix("meta.")
    for each in metadata:
        if (value := each.get(name)) is not None:
            yield value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _type(value: Any) -> str:
    kinds = ((bool, "boolean"), (int, "int"), (float, "float"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "keyword")
