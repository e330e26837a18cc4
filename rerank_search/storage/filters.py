"""Metadata filters, compiled to SQL over the table of attributes.

A filter is a mapping in the style of Chroma and MongoDB. Several keys, and several operators of
one key, must all hold::

    {"module": "os"}                                  equality
    {"year": {"$gte": 2020, "$lt": 2025}}             $eq $ne $gt $gte $lt $lte
    {"lang": {"$in": ["en", "fr"]}}                   $in $nin
    {"reviewed": {"$exists": True}}                   $exists
    {"$or": [{"lang": "en"}, {"$not": {"year": 1999}}]}   $and $or $not

What it means:

- A key is the literal name of a top-level metadata key; a dot has no meaning.
- Numbers compare with numbers and strings (by code point) with strings; a bool is not a number;
  every other comparison is false. Integers beyond 64 bits count as floats.
- A missing key equals nothing, so ``$ne``, ``$nin`` and ``$not`` hold for it. A null equals null.
- A list equals a value, or is ``$in`` values, if one of its members is; its order comparisons
  are false. Nested lists and mappings can only be tested with ``$exists``.
- ``$exists`` tests for the key, whatever its value. ``{}`` allows every document.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.types import Filter, JsonValue

Attribute = tuple[str, str, Any, bool]
"""A key, its kind (null, bool, number, string, nested), SQL value, and whether it is in a list."""

_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = ("$eq", "$ne", *_ORDER, "$in", "$nin", "$exists", "$not")
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression over a column ``document``, the key of a document, and its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


def attributes(metadata: Mapping[str, JsonValue]) -> set[Attribute]:
    """The rows by which filters find a document."""
    rows: set[Attribute] = set()
    for key, value in metadata.items():
        if isinstance(value, list):
            rows.add((key, "nested", 0, False))
            rows.update((key, *_typed(member), True) for member in value)
        else:
            rows.add((key, *_typed(value), False))
    return rows


def kind_of(value: object) -> str:
    """The kind of a value (null, bool, number, string, nested); one kind can be compared."""
    return _typed(value)[0]


def compile_filter(filter: Filter) -> Condition:
    """The filter as SQL. Raises InvalidFilterError for an unknown operator or operand."""
    return _mapping(filter, 0)


def _mapping(filter: object, depth: int) -> Condition:
    if not isinstance(filter, Mapping):
        raise InvalidFilterError(
            f"the filter is {shown(filter)}: give a mapping such as {{'module': 'os'}}"
        )
    if depth > _DEEPEST:
        raise InvalidFilterError(f"the filter is nested more than {_DEEPEST} deep: flatten it")
    return _joined("AND", [_entry(key, value, depth) for key, value in filter.items()])


def _entry(key: object, value: object, depth: int) -> Condition:
    if not isinstance(key, str):
        raise InvalidFilterError(
            f"the filter has the key {shown(key)}, which is not a string: use the name of a "
            "metadata key"
        )
    if key in ("$and", "$or"):
        if not isinstance(value, (list, tuple)) or not value:
            raise InvalidFilterError(f"{key} has {shown(value)}: give a non-empty list of filters")
        return _joined(key[1:].upper(), [_mapping(part, depth + 1) for part in value])
    if key == "$not":
        return _negated(_mapping(value, depth + 1))
    if key.startswith("$"):
        raise InvalidFilterError(
            f"{shown(key)} is not a filter operator here: use $and, $or, $not, or a metadata key "
            f"with one of {', '.join(_OPERATORS)}"
        )
    _encodable(key)
    return _field(key, value, depth)


def _field(key: str, value: object, depth: int) -> Condition:
    if not isinstance(value, Mapping):
        return _equal(key, [value])
    if not value:
        raise InvalidFilterError(
            f"{shown(key)} has an empty mapping: give an operator, such as $eq"
        )
    if depth > _DEEPEST:
        raise InvalidFilterError(f"the filter is nested more than {_DEEPEST} deep: flatten it")
    return _joined("AND", [_operator(key, name, value[name], depth) for name in value])


def _operator(key: str, name: object, operand: object, depth: int) -> Condition:
    if name in ("$eq", "$ne"):
        equal = _equal(key, [operand])
        return equal if name == "$eq" else _negated(equal)
    if name in ("$in", "$nin"):
        if not isinstance(operand, (list, tuple, set, frozenset)):
            raise InvalidFilterError(f"{name} of {shown(key)} has {shown(operand)}: give a list")
        equal = _equal(key, operand)
        return equal if name == "$in" else _negated(equal)
    if name == "$exists":
        if not isinstance(operand, bool):
            raise InvalidFilterError(
                f"$exists of {shown(key)} has {shown(operand)}: give True or False"
            )
        exists = _having("key = ?", key)
        return exists if operand else _negated(exists)
    if name == "$not":
        if not isinstance(operand, Mapping):
            raise InvalidFilterError(
                f"$not of {shown(key)} has {shown(operand)}: give operators, such as {{'$eq': 1}}"
            )
        return _negated(_field(key, operand, depth + 1))
    if isinstance(name, str) and name in _ORDER:
        kind, value = _operand(key, operand)
        if kind not in ("number", "string"):
            raise InvalidFilterError(
                f"{name} of {shown(key)} has {shown(operand)}: give a number or a string"
            )
        return _having(
            f"key = ? AND kind = ? AND value {_ORDER[name]} ? AND NOT member", key, kind, value
        )
    raise InvalidFilterError(
        f"{shown(name)} of {shown(key)} is not a filter operator: use one of "
        f"{', '.join(_OPERATORS)}"
    )


def _equal(key: str, operands: Iterable[object]) -> Condition:
    """Whether the value, or a member of the list, is one of the operands."""
    by_kind: dict[str, list[Any]] = {}
    for operand in operands:
        kind, value = _operand(key, operand)
        by_kind.setdefault(kind, []).append(value)
    if not by_kind:
        return Condition("FALSE")
    return _joined("OR", [_one_of(key, kind, values) for kind, values in by_kind.items()])


def _one_of(key: str, kind: str, values: list[Any]) -> Condition:
    if len(values) == 1:
        return _having("key = ? AND kind = ? AND value = ?", key, kind, values[0])
    # One JSON parameter holds any number of values, while SQLite limits the number of parameters.
    # But SQLite cannot read NULs, or all digits of a float, from JSON.
    listed = [value for value in values if _listable(value)]
    singles = [value for value in values if not _listable(value)]
    places = ", ".join("?" * len(singles))
    return _having(
        "key = ? AND kind = ? AND "
        f"(value IN (SELECT value FROM json_each(?)) OR value IN ({places}))",
        key,
        kind,
        json.dumps(listed, ensure_ascii=False),
        *singles,
    )


def _listable(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and "\0" not in value)


def _having(where: str, *parameters: Any) -> Condition:
    return Condition(f"document IN (SELECT document FROM attributes WHERE {where})", parameters)


def _negated(condition: Condition) -> Condition:
    return Condition(f"NOT ({condition.sql})", condition.parameters)


def _joined(word: str, conditions: list[Condition]) -> Condition:
    if not conditions:
        return Condition("TRUE")
    if len(conditions) == 1:
        return conditions[0]
    parameters = tuple(value for part in conditions for value in part.parameters)
    return Condition(_balanced(word, [condition.sql for condition in conditions]), parameters)


def _balanced(word: str, parts: list[str]) -> str:
    """The parts joined as a tree, since SQLite refuses a chain of a thousand as too deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(word, parts[:middle])}) {word} ({_balanced(word, parts[middle:])})"


def _operand(key: str, operand: object) -> tuple[str, Any]:
    kind, value = _typed(operand)
    if kind == "nested" or (kind == "number" and math.isnan(value)):
        raise InvalidFilterError(
            f"{shown(key)} is compared with {shown(operand)}: use a string, a number, a bool or "
            "None (and $in for one of several)"
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


def _typed(value: object) -> tuple[str, Any]:
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


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
