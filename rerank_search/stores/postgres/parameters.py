"""The parameters of a query: every value of a user is one, and never part of the SQL."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from rerank_search.errors import InvalidFilterError

MOST = 10_000
"""Most parameters of a query, which PostgreSQL plans within seconds; it has room for 65,535."""


class Parameters:
    """Collects values; each is named where the SQL has it."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def bind(self, value: Any, kind: sql.Composable) -> sql.Composable:
        """The place of a value of this type in the SQL; it may be used several times."""
        if len(self.values) == MOST:
            raise InvalidFilterError(
                "the filter has too many conditions: use $in for values of one key, or search "
                "several times"
            )
        name = f"p{len(self.values)}"
        self.values[name] = value
        return sql.Composed([sql.Placeholder(name), sql.SQL("::"), kind])

    def text(self, value: str) -> sql.Composable:
        """The place of a text."""
        return self.bind(value, sql.SQL("text"))
