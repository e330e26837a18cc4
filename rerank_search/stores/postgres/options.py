"""The options of a table of PostgreSQL, in its URL or as arguments."""

from __future__ import annotations

from typing import Any, Literal

import psycopg
from pydantic import Field, field_validator, model_validator

from rerank_search.stores.base import StoreOptions

_CONNECTION = frozenset(option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults())
"""The options that libpq knows, such as sslmode."""


class PostgresOptions(StoreOptions):
    """The options of a table of PostgreSQL, and those of the connection, which libpq knows.

    ``table`` is the table's name, and ``schema`` that of its schema, by default the first one in
    the search path that has the table.

    ``id``, ``text``, ``title``, ``metadata`` (JSONB), ``vector`` and ``words`` (tsvector) name the
    columns. By default they have these names; ``vector`` is the only column with vectors, whatever
    its name. Documents have no title, no metadata and no vector if there is no such column, or if
    its name is given as "". Without ``words``, the words of a text are found each time.

    ``language`` is the text-search configuration, such as "german" or "simple". ``search`` "exact"
    compares a query with all vectors, and "hnsw" asks the table's HNSW index, except with a filter.
    """

    table: str
    schema_name: str | None = Field(default=None, alias="schema", min_length=1)
    id: str = Field(default="id", min_length=1)
    text: str = Field(default="text", min_length=1)
    title: str | None = None
    metadata: str | None = None
    vector: str | None = None
    words: str | None = None
    language: str = Field(default="english", min_length=1)
    search: Literal["exact", "hnsw"] = "exact"
    connection: dict[str, str] = Field(default={}, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _of_the_connection(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Put aside the options that libpq knows; only libpq checks their values."""
        if "connection" in given:
            raise ValueError("there is no option 'connection': give libpq's options by their names")
        own = {name: value for name, value in given.items() if name not in _CONNECTION}
        others = {name: str(value) for name, value in given.items() if name in _CONNECTION}
        return {**own, "connection": others}

    @field_validator("*")
    @classmethod
    def _without_nul(cls, value: object) -> object:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("it contains a NUL character, which no name of PostgreSQL has")
        return value
