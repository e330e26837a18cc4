"""Metadata filters, checked and read into a tree that each store translates for its own engine.

A filter is a mapping in the style of Chroma and MongoDB. Several keys, and several operators of
one key, must all hold::

    {"module": "os"}                                  equality
    {"$.author.name": "Ann"}                          equality of a nested key
    {"year": {"$gte": 2020, "$lt": 2025}}             $eq $ne $gt $gte $lt $lte
    {"lang": {"$in": ["en", "fr"]}}                   $in $nin
    {"tags": {"$contains": "new"}}                    $contains $all
    {"file": {"$glob": "docs/*.md"}}                  $prefix $glob
    {"reviewed": {"$exists": True}}                   $exists
    {"$or": [{"lang": "en"}, {"$not": {"year": 1999}}]}   $and $or $not

What it means:

- A key is the literal name of a top-level metadata key; a dot has no meaning. A key that begins
  with ``$.`` is a path to a nested key (rerank_search.storage.paths).
- Numbers compare with numbers and strings (by code point) with strings; a bool is not a number;
  every other comparison is false. Integers beyond 64 bits count as floats.
- A missing key equals nothing, so ``$ne``, ``$nin`` and ``$not`` hold for it. A null equals null.
- A list equals a value, or is ``$in`` values, if one of its members is; its order comparisons
  are false. Nested lists and mappings can only be tested with ``$exists``.
- ``$contains`` holds for a list with this member, and for a string with this text in it. ``$all``
  holds for a list with all of these members; a value that is not a list counts as a list of one.
- ``$prefix`` and ``$glob`` (rerank_search.storage.globs) compare strings by code point, and hold
  for a list if one of its members is such a string.
- ``$exists`` tests for the key, whatever its value. ``{}`` allows every document.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.attributes import typed
from rerank_search.storage.globs import LONGEST_PATTERN
from rerank_search.storage.paths import PATH, Name, name_of
from rerank_search.types import Filter

_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = (
    "$eq", "$ne", *_ORDER, "$in", "$nin", "$contains", "$all", "$prefix", "$glob", "$exists", "$not"
)  # fmt: skip
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class And:
    """All of these hold; without any, every document is allowed."""

    parts: tuple[FilterTree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of these holds; without any, no document is allowed."""

    parts: tuple[FilterTree, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """This does not hold."""

    part: FilterTree


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value, or a member of the list, is one of these values.

    They are all of one ``kind``: null (the value is 0), bool (0 or 1), number (an int of 64 bits,
    or a float, which may be infinite) or string.
    """

    name: Name
    kind: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The value, which is not in a list, is within the bounds, such as ``(">=", 5)``.

    ``kind`` is number or string.
    """

    name: Name
    kind: str
    bounds: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class HasMember:
    """The value is a list with this member; ``kind`` and ``value`` as in ``OneOf``."""

    name: Name
    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class HasText:
    """The value is a string, not in a list, with this text in it."""

    name: Name
    text: str


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """The value, or a member of the list, is a string that begins with this text."""

    name: Name
    text: str


@dataclass(frozen=True, slots=True)
class Matches:
    """The value, or a member of the list, is a string that the pattern of ``$glob`` matches."""

    name: Name
    pattern: str


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there, whatever its value."""

    name: Name


FilterTree: TypeAlias = (
    And | Or | Not | OneOf | Within | HasMember | HasText | BeginsWith | Matches | Exists
)
"""A filter, or a part of one."""


def filter_tree(filter: Filter) -> FilterTree:
    """The filter as a tree. Raises InvalidFilterError for an unknown operator or operand."""
    return _mapping(filter, 0)


def _mapping(filter: object, depth: int) -> FilterTree:
    if not isinstance(filter, Mapping):
        raise InvalidFilterError(
            f"the filter is {shown(filter)}: give a mapping such as {{'module': 'os'}}"
        )
    if depth > _DEEPEST:
        raise InvalidFilterError(f"the filter is nested more than {_DEEPEST} deep: flatten it")
    return _joined(And, [_entry(key, value, depth) for key, value in filter.items()])


def _entry(key: object, value: object, depth: int) -> FilterTree:
    if not isinstance(key, str):
        raise InvalidFilterError(
            f"the filter has the key {shown(key)}, which is not a string: use the name of a "
            "metadata key"
        )
    if key in ("$and", "$or"):
        if not isinstance(value, (list, tuple)) or not value:
            raise InvalidFilterError(f"{key} has {shown(value)}: give a non-empty list of filters")
        parts = [_mapping(part, depth + 1) for part in value]
        return _joined(And if key == "$and" else Or, parts)
    if key == "$not":
        return Not(_mapping(value, depth + 1))
    if key.startswith("$") and not key.startswith(PATH):
        raise InvalidFilterError(
            f"{shown(key)} is not a filter operator here: use $and, $or, $not, or a metadata key "
            f"with one of {', '.join(_OPERATORS)}. A metadata key that begins with $ is written as "
            'a path, such as $."$key"'
        )
    _encodable(key)
    name = name_of(key)
    for step in name.steps:
        _encodable(step)
    return _field(name, value, depth)


def _field(key: Name, value: object, depth: int) -> FilterTree:
    if not isinstance(value, Mapping):
        return _equal(key, [value])
    if not value:
        raise InvalidFilterError(
            f"{shown(key.written)} has an empty mapping: give an operator, such as $eq"
        )
    if depth > _DEEPEST:
        raise InvalidFilterError(f"the filter is nested more than {_DEEPEST} deep: flatten it")
    bounds = {name: value[name] for name in value if name in _ORDER}
    parts = [_operator(key, name, value[name], depth) for name in value if name not in bounds]
    return _joined(And, [*parts, *_within(key, bounds)])


def _operator(key: Name, name: object, operand: object, depth: int) -> FilterTree:
    if name in ("$eq", "$ne"):
        equal = _equal(key, [operand])
        return equal if name == "$eq" else Not(equal)
    if name in ("$in", "$nin"):
        equal = _equal(key, _members(key, str(name), operand))
        return equal if name == "$in" else Not(equal)
    if name == "$contains":
        return _contains(key, operand)
    if name == "$all":
        return _all(key, operand)
    if name == "$prefix":
        return BeginsWith(key, _string(key, "$prefix", operand))
    if name == "$glob":
        return _glob(key, _string(key, "$glob", operand))
    if name == "$exists":
        if not isinstance(operand, bool):
            raise _wrong(key, "$exists", operand, "True or False")
        return Exists(key) if operand else Not(Exists(key))
    if name == "$not":
        if not isinstance(operand, Mapping):
            raise _wrong(key, "$not", operand, "operators, such as {'$eq': 1}")
        return Not(_field(key, operand, depth + 1))
    raise InvalidFilterError(
        f"{shown(name)} of {shown(key.written)} is not a filter operator: use one of "
        f"{', '.join(_OPERATORS)}"
    )


def _within(key: Name, bounds: Mapping[str, object]) -> Iterable[FilterTree]:
    by_kind: dict[str, dict[str, Any]] = {}
    for name, operand in bounds.items():
        kind, value = _operand(key, operand)
        if kind not in ("number", "string"):
            raise _wrong(key, name, operand, "a number or a string")
        by_kind.setdefault(kind, {})[_ORDER[name]] = value
    for kind, ends in by_kind.items():
        yield Within(key, kind, tuple(ends.items()))


def _equal(key: Name, operands: Iterable[object]) -> FilterTree:
    by_kind: dict[str, list[Any]] = {}
    for operand in operands:
        kind, value = _operand(key, operand)
        by_kind.setdefault(kind, []).append(value)
    return _joined(Or, [OneOf(key, kind, tuple(values)) for kind, values in by_kind.items()])


def _contains(key: Name, operand: object) -> FilterTree:
    kind, value = _operand(key, operand)
    member = HasMember(key, kind, value)
    return member if kind != "string" else Or((member, HasText(key, value)))


def _all(key: Name, operand: object) -> FilterTree:
    members = list(_members(key, "$all", operand))
    if not members:
        raise _wrong(key, "$all", operand, "a list that is not empty")
    wanted = dict.fromkeys(_operand(key, member) for member in members)
    return _joined(And, [OneOf(key, kind, (value,)) for kind, value in wanted])


def _glob(key: Name, pattern: str) -> FilterTree:
    if len(pattern) > LONGEST_PATTERN:
        raise _wrong(key, "$glob", pattern, f"a pattern of at most {LONGEST_PATTERN:,} characters")
    return Matches(key, pattern)


def _joined(kind: type[And | Or], parts: list[FilterTree]) -> FilterTree:
    return parts[0] if len(parts) == 1 else kind(tuple(parts))


def _members(key: Name, name: str, operand: object) -> Iterable[object]:
    if not isinstance(operand, (list, tuple, set, frozenset)):
        raise _wrong(key, name, operand, "a list")
    return operand


def _string(key: Name, name: str, operand: object) -> str:
    kind, value = _operand(key, operand)
    if kind != "string":
        raise _wrong(key, name, operand, "a string")
    return str(value)


def _wrong(key: Name, name: str, operand: object, wanted: str) -> InvalidFilterError:
    return InvalidFilterError(f"{name} of {shown(key.written)} has {shown(operand)}: give {wanted}")


def _operand(key: Name, operand: object) -> tuple[str, Any]:
    kind, value = typed(operand)
    if kind == "nested" or (kind == "number" and math.isnan(value)):
        raise InvalidFilterError(
            f"{shown(key.written)} is compared with {shown(operand)}: use a string, a number, a "
            "bool or None (and $in for one of several)"
        )
    if kind == "string":
        _encodable(value)
    return kind, value


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilterError(
            f"the filter has {shown(text)} with a lone surrogate, which UTF-8 cannot encode: "
            "remove it"
        ) from error
