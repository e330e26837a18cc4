"""Filters as queries of Elasticsearch and OpenSearch.

In an index of ours they are over the field of attribute keys, which has each value of the metadata
as one keyword. In an index of others they are over its mapped fields.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.filter_tree import (
    And,
    BeginsWith,
    Exists,
    FilterTree,
    HasMember,
    HasText,
    Matches,
    Not,
    OneOf,
    Or,
    Within,
)
from rerank_search.storage.paths import Name
from rerank_search.stores.attribute_keys import PART, key_beginning, name_text, value_text

Json: TypeAlias = dict[str, Any]

_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_AFTER_PART = chr(ord(PART) + 1)
_WHOLE = {"long": 2**63, "integer": 2**31, "short": 2**15, "byte": 2**7}
"""Types of whole numbers, and the bounds of their values."""

_INEXACT = frozenset({"normalizer", "ignore_above", "null_value", "script"})
"""Settings of a field that has other values than the documents."""


class Filters(Protocol):
    """Translates parts of filters for one kind of index."""

    def condition(self, part: FilterTree) -> Json:
        """A part that is not "and", "or" or "not", as a query. Raises InvalidFilterError."""
        ...


def query_of(tree: FilterTree, filters: Filters) -> Json:
    """A filter as a query. Raises InvalidFilterError for what it cannot express exactly."""
    match tree:
        case And(parts):
            return {"bool": {"filter": [query_of(part, filters) for part in parts]}}
        case Or(()):
            return {"match_none": {}}
        case Or(parts):
            return any_of(query_of(part, filters) for part in parts)
        case Not(part):
            return {"bool": {"must_not": [query_of(part, filters)]}}
        case _:
            return filters.condition(tree)


def any_of(queries: Any) -> Json:
    """A query that holds if one of these does."""
    return {"bool": {"should": list(queries), "minimum_should_match": 1}}


class KeyFilters:
    """Filters over the field of attribute keys; ``Filters``."""

    def __init__(self, field: str) -> None:
        self._field = field

    def condition(self, part: FilterTree) -> Json:
        """A part of a filter as a query."""
        field = self._field
        match part:
            case OneOf(name, kind, values):
                beginnings = [key_beginning(name, kind, member=each) for each in (False, True)]
                texts = [value_text(kind, value) for value in values]
                return {"terms": {field: [start + text for start in beginnings for text in texts]}}
            case HasMember(name, kind, value):
                key = key_beginning(name, kind, member=True) + value_text(kind, value)
                return {"term": {field: key}}
            case BeginsWith(name, text):
                wanted = value_text("string", text)
                return any_of(
                    {"prefix": {field: key_beginning(name, "string", member=each) + wanted}}
                    for each in (False, True)
                )
            case HasText(name, text):
                start = key_beginning(name, "string", member=False)
                wanted = f"{_plain(start)}*{_plain(value_text('string', text))}*"
                return {"wildcard": {field: {"value": wanted}}}
            case Within(name, kind, bounds):
                start = key_beginning(name, kind, member=False)
                ends = {_BOUNDS[sign]: start + value_text(kind, end) for sign, end in bounds}
                if not ends.keys() & {"gt", "gte"}:
                    ends["gte"] = start
                if not ends.keys() & {"lt", "lte"}:
                    ends["lt"] = start[:-1] + _AFTER_PART
                return {"range": {field: ends}}
            case Exists(name):
                return {"prefix": {field: name_text(name)}}
            case Matches(name, _):
                raise _refused(name, "$glob", "use $prefix, or $contains for a part of a string")
        raise TypeError(f"not a part of a filter: {part!r}")


class FieldFilters:
    """Filters over mapped fields; ``Filters``.

    ``fields`` are the properties of a mapping, below ``path``. A field has values of one type, that
    of its mapping, one or several.
    """

    def __init__(self, fields: Mapping[str, Any], path: Sequence[str]) -> None:
        self._fields = fields
        self._path = tuple(path)

    def condition(self, part: FilterTree) -> Json:
        """A part of a filter as a query."""
        match part:
            case OneOf(name, kind, values):
                return self._one_of(name, kind, values)
            case BeginsWith(name, text):
                field, _ = self._field(name, ("keyword",), "a $prefix")
                return {"prefix": {field: text}}
            case HasText(name, _) | HasMember(name, _, _):
                raise self._only(name, "$contains")
            case Within(name, _, _):
                raise self._only(name, "an order")
            case Matches(name, _):
                raise self._only(name, "$glob")
            case Exists(name):
                raise self._only(name, "$exists")
        raise TypeError(f"not a part of a filter: {part!r}")

    def _one_of(self, name: Name, kind: str, values: Sequence[Any]) -> Json:
        if kind == "string":
            field, _ = self._field(name, ("keyword",), "a string")
            return {"terms": {field: list(values)}}
        if kind == "bool":
            field, _ = self._field(name, ("boolean",), "a bool")
            return {"terms": {field: [bool(value) for value in values]}}
        if kind == "number" and all(isinstance(value, int) for value in values):
            field, found = self._field(name, _WHOLE, "an integer")
            bound = _WHOLE[found]  # the engines refuse values beyond it
            return {"terms": {field: [each for each in values if -bound <= each < bound]}}
        raise self._only(name, "None or a fraction")

    def _field(self, name: Name, wanted: Collection[str], what: str) -> tuple[str, str]:
        """The path of a field and its type. Raises InvalidFilterError for one of another type."""
        found: Any = {"properties": self._fields}
        for step in name.steps:
            found = inside(found).get(step, {})
        if found.get("type") not in wanted or found.keys() & _INEXACT:
            raise _refused(
                name,
                what,
                f"the mapping has {shown(found) if found else 'no such field'}; have this library "
                "make the index",
            )
        return ".".join((*self._path, *name.steps)), found["type"]

    def _only(self, name: Name, what: str) -> InvalidFilterError:
        return _refused(
            name,
            f"{what} in an index that this library did not make",
            "use $eq, $ne, $in, $nin and $prefix there, or have this library make the index",
        )


def inside(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields inside one; none in a "nested" one, whose values plain queries do not see."""
    return (field.get("properties") or {}) if field.get("type", "object") == "object" else {}


def _plain(text: str) -> str:
    """A text for a wildcard query, as it is."""
    return "".join(f"\\{sign}" if sign in "\\*?" else sign for sign in text)


def _refused(name: Name, what: str, fix: str) -> InvalidFilterError:
    return InvalidFilterError(
        f"the filter of {shown(name.written)} has {what}, which is not exact in Elasticsearch and "
        f"OpenSearch: {fix}"
    )
