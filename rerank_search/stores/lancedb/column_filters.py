"""Filters in LanceDB's SQL, over the columns of a table that others made.

A column has values of one type, so a comparison with another type is false. A NULL counts as a
missing key, and so does a float that is not a number. Nested keys are fields of a struct.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

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
from rerank_search.stores.lancedb.filters import joined, quoted, refused
from rerank_search.stores.lancedb.globs import text_expression

EXACT = 2**53
"""Least integer that a float may not tell from its neighbour."""


class ColumnFilters:
    """Translates filters for the columns of a schema that are metadata."""

    def __init__(self, columns: Sequence[pa.Field]) -> None:
        self._columns = {column.name: column for column in columns}

    def sql(self, tree: FilterTree) -> str:
        """The filter as SQL. Raises InvalidFilterError for what it cannot express."""
        match tree:
            case And(parts):
                return joined("AND", [self.sql(part) for part in parts])
            case Or(parts):
                return joined("OR", [self.sql(part) for part in parts])
            case Not(part):
                return f"NOT ({self.sql(part)})"
        column = self._column(tree.name)
        if column is None:
            return "FALSE"
        path, kind = column
        return f"coalesce({_condition(tree, path, kind)}, FALSE)"

    def _column(self, name: Name) -> tuple[str, pa.DataType] | None:
        """The path of a column and its type; None if there is no such column."""
        first, *steps = name.steps
        if first not in self._columns:
            return None
        kind, path = self._columns[first].type, [first]
        for step in steps:
            if is_list(kind) and pa.types.is_struct(kind.value_type):
                raise refused(name, "a path through a list", "filter by a column of values")
            if not pa.types.is_struct(kind) or kind.get_field_index(step) < 0:
                return None
            path.append(step)
            kind = kind.field(step).type
        if any("`" in step or "." in step for step in path):
            raise refused(name, "a column with a dot or a backtick in its name", "rename it")
        return ".".join(f"`{step}`" for step in path), kind


def _condition(tree: Any, path: str, kind: pa.DataType) -> str:
    match tree:
        case Exists() if pa.types.is_floating(kind):
            return f"({path} IS NOT NULL AND NOT isnan({path}))"
        case Exists():
            return f"{path} IS NOT NULL"
        case OneOf(name, wanted, values) if is_list(kind):
            return _members(name, path, kind.value_type, wanted, values)
        case HasMember(name, wanted, value):
            if not is_list(kind):
                return "FALSE"
            return _members(name, path, kind.value_type, wanted, [value])
        case OneOf(name, wanted, values):
            return joined("OR", [_equal(name, path, kind, wanted, value) for value in values])
        case BeginsWith(name, _) | Matches(name, _) if is_list(kind) and is_string(kind.value_type):
            raise refused(
                name, "$prefix or $glob on a list", "use $contains or $in for whole members"
            )
        case Matches(_, pattern):
            if not is_string(kind):
                return "FALSE"
            return f"regexp_like({path}, {quoted(text_expression(pattern))})"
        case BeginsWith(_, text):
            return f"starts_with({path}, {quoted(text)})" if is_string(kind) else "FALSE"
        case HasText(_, text):
            return f"strpos({path}, {quoted(text)}) > 0" if is_string(kind) else "FALSE"
        case Within(_, "string", bounds):
            if not is_string(kind):
                return "FALSE"
            return joined("AND", [f"{path} {sign} {quoted(end)}" for sign, end in bounds])
        case Within(name, _, bounds):
            if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
                return "FALSE"
            ends = [_within(name, path, kind, sign, end) for sign, end in bounds]
            # LanceDB takes what is not a number for the largest one.
            number = [f"NOT isnan({path})"] if pa.types.is_floating(kind) else []
            return joined("AND", [*ends, *number])
    raise TypeError(f"not a part of a filter: {tree!r}")


def _equal(name: Name, path: str, kind: pa.DataType, wanted: str, value: Any) -> str:
    if wanted == "string" and is_string(kind):
        return f"{path} = {quoted(value)}"
    if wanted == "bool" and pa.types.is_boolean(kind):
        return path if value else f"NOT {path}"
    if wanted == "number" and pa.types.is_integer(kind):
        _check_unsigned(name, kind, value)
        whole = math.isfinite(value) and int(value) == value
        return f"CAST({path} AS BIGINT) = {int(value)}" if whole and _fits(value) else "FALSE"
    if wanted == "number" and pa.types.is_floating(kind):
        return f"CAST({path} AS DOUBLE) = {_number(name, value)}"
    return "FALSE"


def _within(name: Name, path: str, kind: pa.DataType, sign: str, end: Any) -> str:
    if pa.types.is_floating(kind):
        return f"CAST({path} AS DOUBLE) {sign} {_number(name, end)}"
    _check_unsigned(name, kind, end)
    if not _fits(end):
        return f"{path} IS NOT NULL" if (end > 0) == (sign[0] == "<") else "FALSE"
    # Integers below 2.5 are those below 3, and those up to 2.5 are those up to 2.
    whole = math.ceil(end) if sign in ("<", ">=") else math.floor(end)
    return f"CAST({path} AS BIGINT) {sign} {whole}"


def _members(name: Name, path: str, kind: pa.DataType, wanted: str, values: Sequence[Any]) -> str:
    if wanted == "null":
        raise refused(name, "None in a list", "compare with a value")
    if wanted == "string" and is_string(kind):
        return joined("OR", [f"array_has({path}, {quoted(value)})" for value in values])
    if wanted == "number" and pa.types.is_int64(kind):
        whole = [int(value) for value in values if _fits(value) and int(value) == value]
        return joined("OR", [f"array_has({path}, {value})" for value in whole])
    if wanted == "bool" and pa.types.is_boolean(kind):
        return joined("OR", [f"array_has({path}, {bool(value)})" for value in values])
    if wanted in ("number", "bool") and not is_string(kind):
        raise refused(name, f"a member of a list of {kind}", "use a list of strings or of int64")
    return "FALSE"


def _number(name: Name, value: Any) -> str:
    """A number that is compared with floats."""
    if not math.isfinite(value) or (isinstance(value, int) and abs(value) >= EXACT):
        raise refused(name, f"the number {value}", f"use a float, or an integer below {EXACT:,}")
    return f"CAST({float(value)!r} AS DOUBLE)"


def _check_unsigned(name: Name, kind: pa.DataType, value: Any) -> None:
    """Refuse a number beyond 63 bits for a column that may have it: filters take it for a float."""
    if pa.types.is_uint64(kind) and 2**63 <= value <= 2**64:
        raise refused(name, f"the number {value}", "store such numbers as strings")


def _fits(value: float) -> bool:
    return -(2**63) <= value < 2**63


def is_string(kind: pa.DataType) -> bool:
    """Whether values of that type are strings."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether values of that type are lists of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
