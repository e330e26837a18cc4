"""Filters in LanceDB's SQL, over the column of attribute keys that tables of ours have."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
from rerank_search.stores.balanced import balanced
from rerank_search.stores.lancedb.globs import value_expression

EDGE = "\x01"
"""What stands before and after each attribute key in the column."""


def attribute_column(keys: Sequence[str]) -> str:
    """The keys of a document as the column has them."""
    return "".join(f"{EDGE}{key}{EDGE}" for key in keys)


class KeyFilters:
    """Translates filters for a column of attribute keys."""

    def __init__(self, column: str) -> None:
        self._column = column

    def sql(self, tree: FilterTree) -> str:
        """The filter as SQL. Raises InvalidFilterError for what it cannot express."""
        match tree:
            case And(parts):
                return joined("AND", [self.sql(part) for part in parts])
            case Or(parts):
                return joined("OR", [self.sql(part) for part in parts])
            case Not(part):
                return f"NOT ({self.sql(part)})"
            case OneOf(name, kind, values):
                return joined(
                    "OR",
                    [
                        self._has(f"{key_beginning(name, kind, member=member)}{text}{EDGE}")
                        for text in (value_text(kind, value) for value in values)
                        for member in (False, True)
                    ],
                )
            case HasMember(name, kind, value):
                key = key_beginning(name, kind, member=True) + value_text(kind, value)
                return self._has(key + EDGE)
            case BeginsWith(name, text):
                wanted = value_text("string", text)
                keys = (key_beginning(name, "string", member=member) for member in (False, True))
                return joined("OR", [self._has(key + wanted) for key in keys])
            case HasText(name, text):
                value = self._value(name, "string")
                wanted = quoted(value_text("string", text))
                return f"({self._alone(name, 'string')} AND strpos({value}, {wanted}) > 0)"
            case Within(name, kind, bounds):
                value = self._value(name, kind)
                ends = (f"{value} {sign} {quoted(value_text(kind, end))}" for sign, end in bounds)
                return joined("AND", [self._alone(name, kind), *ends])
            case Exists(name):
                return self._has(name_text(name))
            case Matches(name, pattern):
                start = re.escape(EDGE + name_text(name) + f"string{PART}")
                expression = f"{start}[01]{PART}{value_expression(pattern)}{EDGE}"
                return f"regexp_like({self._column}, {quoted(expression)})"

    def _has(self, key: str) -> str:
        return f"contains({self._column}, {quoted(EDGE + key)})"

    def _alone(self, name: Name, kind: str) -> str:
        """Whether there is a value of that kind that is not in a list."""
        return self._has(key_beginning(name, kind, member=False))

    def _value(self, name: Name, kind: str) -> str:
        """The value that is not in a list; there is one at most."""
        start = quoted(EDGE + key_beginning(name, kind, member=False))
        return f"split_part(split_part({self._column}, {start}, 2), {quoted(EDGE)}, 1)"


def joined(word: str, parts: Sequence[str]) -> str:
    """The parts as one expression."""
    return balanced(word, parts) if parts else "TRUE" if word == "AND" else "FALSE"


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def refused(name: Name, what: str, fix: str) -> InvalidFilterError:
    """The error of a filter that LanceDB cannot apply exactly."""
    return InvalidFilterError(
        f"the filter of {shown(name.written)} has {what}, which LanceDB cannot apply exactly: {fix}"
    )
