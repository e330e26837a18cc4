"""Metadata filters (rerank_search.storage.filter_tree) as SQL over the table of attributes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

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
    filter_tree,
)
from rerank_search.storage.globs import fixed_beginning
from rerank_search.storage.paths import Name
from rerank_search.types import Filter


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
    return _condition(filter_tree(filter))


def _condition(tree: FilterTree) -> Condition:
    match tree:
        case And(parts):
            return _joined("AND", parts, of_none="TRUE")
        case Or(parts):
            return _joined("OR", parts, of_none="FALSE")
        case Not(part):
            found = _condition(part)
            return Condition(f"NOT ({found.sql})", found.parameters, found.nested)
        case OneOf(name, kind, values):
            return _one_of(name, kind, values)
        case Within(name, kind, bounds):  # one range of the rows
            where = "".join(f" AND value {sign} ?" for sign, _ in bounds)
            ends = [value for _, value in bounds]
            return _having(name, f"kind = ?{where} AND NOT member", kind, *ends)
        case HasMember(name, kind, value):
            return _having(name, "kind = ? AND value = ? AND member", kind, value)
        case HasText(name, text):
            return _text(name, "instr(value, ?) AND NOT member", text)
        case BeginsWith(name, text):
            return _text(name, *_beginning(text))
        case Matches(name, pattern):
            where, *between = _beginning(fixed_beginning(pattern))
            return _text(name, f"{where} AND globbed(value, ?)", *between, pattern)
        case Exists(name):
            return _having(name, "")


def _one_of(key: Name, kind: str, values: tuple[Any, ...]) -> Condition:
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


def _joined(word: str, parts: tuple[FilterTree, ...], *, of_none: str) -> Condition:
    if not parts:
        return Condition(of_none)
    conditions = [_condition(part) for part in parts]
    parameters = tuple(value for part in conditions for value in part.parameters)
    nested = frozenset(name for part in conditions for name in part.nested)
    return Condition(_balanced(word, [part.sql for part in conditions]), parameters, nested)


def _balanced(word: str, parts: list[str]) -> str:
    """The parts joined as a tree, since SQLite refuses a chain of a thousand as too deep."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_balanced(word, parts[:middle])}) {word} ({_balanced(word, parts[middle:])})"
