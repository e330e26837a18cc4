"""Metadata filters, compiled to SQL over the table of attributes.

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

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rerank_search.errors import InvalidFilterError
from rerank_search.shown import shown
from rerank_search.storage.attributes import typed
from rerank_search.storage.globs import LONGEST_PATTERN, fixed_beginning
from rerank_search.storage.paths import PATH, Name, name_of
from rerank_search.types import Filter

_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OPERATORS = (
    "$eq", "$ne", *_ORDER, "$in", "$nin", "$contains", "$all", "$prefix", "$glob", "$exists", "$not"
)  # fmt: skip
_DEEPEST = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL expression over a column ``document``, the key of a document, and its parameters.

    ``nested`` are the paths whose values it needs in the table ``path_values``.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    nested: frozenset[Name] = frozenset()


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


def _field(key: Name, value: object, depth: int) -> Condition:
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
    return _joined("AND", [*parts, *_within(key, bounds)])


def _operator(key: Name, name: object, operand: object, depth: int) -> Condition:
    if name in ("$eq", "$ne"):
        equal = _equal(key, [operand])
        return equal if name == "$eq" else _negated(equal)
    if name in ("$in", "$nin"):
        equal = _equal(key, _members(key, str(name), operand))
        return equal if name == "$in" else _negated(equal)
    if name == "$contains":
        return _contains(key, operand)
    if name == "$all":
        return _all(key, operand)
    if name == "$prefix":
        return _text(key, *_beginning(_string(key, "$prefix", operand)))
    if name == "$glob":
        return _glob(key, _string(key, "$glob", operand))
    if name == "$exists":
        if not isinstance(operand, bool):
            raise _wrong(key, "$exists", operand, "True or False")
        exists = _having(key, "")
        return exists if operand else _negated(exists)
    if name == "$not":
        if not isinstance(operand, Mapping):
            raise _wrong(key, "$not", operand, "operators, such as {'$eq': 1}")
        return _negated(_field(key, operand, depth + 1))
    raise InvalidFilterError(
        f"{shown(name)} of {shown(key.written)} is not a filter operator: use one of "
        f"{', '.join(_OPERATORS)}"
    )


def _within(key: Name, bounds: Mapping[str, object]) -> Iterable[Condition]:
    """Whether the value, which is no list, is within the bounds. They are one range of the rows."""
    by_kind: dict[str, dict[str, Any]] = {}
    for name, operand in bounds.items():
        kind, value = _operand(key, operand)
        if kind not in ("number", "string"):
            raise _wrong(key, name, operand, "a number or a string")
        by_kind.setdefault(kind, {})[_ORDER[name]] = value
    for kind, ends in by_kind.items():
        where = "".join(f" AND value {sign} ?" for sign in ends)
        yield _having(key, f"kind = ?{where} AND NOT member", kind, *ends.values())


def _equal(key: Name, operands: Iterable[object]) -> Condition:
    """Whether the value, or a member of the list, is one of the operands."""
    by_kind: dict[str, list[Any]] = {}
    for operand in operands:
        kind, value = _operand(key, operand)
        by_kind.setdefault(kind, []).append(value)
    if not by_kind:
        return Condition("FALSE")
    return _joined("OR", [_one_of(key, kind, values) for kind, values in by_kind.items()])


def _one_of(key: Name, kind: str, values: list[Any]) -> Condition:
    if len(values) == 1:
        return _having(key, "kind = ? AND value = ?", kind, values[0])
    # One JSON parameter holds any number of values, while SQLite limits the number of parameters.
    # But SQLite cannot read NULs, or all digits of a float, from JSON.
    listed = [value for value in values if _listable(value)]
    singles = [value for value in values if not _listable(value)]
    # One set of values, because SQLite would walk along all values of the key for an OR of two.
    others = f" UNION ALL VALUES {', '.join(['(?)'] * len(singles))}" if singles else ""
    return _having(
        key,
        f"kind = ? AND value IN (SELECT value FROM json_each(?){others})",
        kind,
        json.dumps(listed, ensure_ascii=False),
        *singles,
    )


def _listable(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and "\0" not in value)


def _contains(key: Name, operand: object) -> Condition:
    kind, value = _operand(key, operand)
    member = _having(key, "kind = ? AND value = ? AND member", kind, value)
    if kind != "string":
        return member
    return _joined("OR", [member, _text(key, "instr(value, ?) AND NOT member", value)])


def _all(key: Name, operand: object) -> Condition:
    members = list(_members(key, "$all", operand))
    if not members:
        raise _wrong(key, "$all", operand, "a list that is not empty")
    wanted = dict.fromkeys(_operand(key, member) for member in members)
    return _joined("AND", [_one_of(key, kind, [value]) for kind, value in wanted])


def _glob(key: Name, pattern: str) -> Condition:
    if len(pattern) > LONGEST_PATTERN:
        raise _wrong(key, "$glob", pattern, f"a pattern of at most {LONGEST_PATTERN:,} characters")
    where, *bounds = _beginning(fixed_beginning(pattern))
    return _text(key, f"{where} AND globbed(value, ?)", *bounds, pattern)


def _beginning(text: str) -> tuple[str, ...]:
    """SQL for the strings that begin with the text, as a range that an index finds."""
    begun = text
    while begun:
        code = ord(begun[-1]) + 1
        if code == 0xD800:  # surrogates are no characters
            code = 0xE000
        if code <= 0x10FFFF:
            return "value >= ? AND value < ?", text, begun[:-1] + chr(code)
        begun = begun[:-1]
    return "value >= ?", text


def _text(key: Name, where: str, *parameters: str) -> Condition:
    """Whether the value, or a member of the list, is a string for which the SQL holds."""
    return _having(key, f"kind = 'string' AND {where}", *parameters)


def _having(key: Name, where: str, *parameters: Any) -> Condition:
    rest = f" AND {where}" if where else ""
    return Condition(
        f"document IN (SELECT document FROM {key.table} WHERE key = ?{rest})",
        (key.key, *parameters),
        frozenset([key]) if key.is_nested else frozenset(),
    )


def _negated(condition: Condition) -> Condition:
    return Condition(f"NOT ({condition.sql})", condition.parameters, condition.nested)


def _joined(word: str, conditions: list[Condition]) -> Condition:
    if not conditions:
        return Condition("TRUE")
    if len(conditions) == 1:
        return conditions[0]
    parameters = tuple(value for part in conditions for value in part.parameters)
    nested = frozenset(name for part in conditions for name in part.nested)
    return Condition(_balanced(word, [part.sql for part in conditions]), parameters, nested)


def _balanced(word: str, parts: list[str]) -> str:
    """The parts joined as a tree, since SQLite refuses a chain of a thousand as too deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(word, parts[:middle])}) {word} ({_balanced(word, parts[middle:])})"


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
