"""The table of a store: which columns it has, and what each of them is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from rerank_search.errors import StoreAccessError, StoreMismatchError
from rerank_search.shown import shown
from rerank_search.stores.postgres.connections import Connection
from rerank_search.stores.postgres.options import PostgresOptions

TEXTS = ("text", "varchar")
VECTORS: Mapping[str, int] = {"vector": 4, "halfvec": 2}
"""The types of vectors, and the bytes of one of their numbers."""

_TABLE = """
SELECT c.oid::int8, n.nspname, c.relname, c.relkind IN ('r', 'p'),
    has_any_column_privilege(c.oid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%s)
"""

_COLUMNS = """
SELECT a.attname, t.typname, a.atttypmod, tn.nspname,
    EXISTS (
        SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
        AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
    ),
    EXISTS (
        SELECT 1 FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
        JOIN pg_am am ON am.oid = ic.relam JOIN pg_opclass o ON o.oid = i.indclass[0]
        WHERE i.indrelid = a.attrelid AND i.indisvalid AND i.indpred IS NULL
        AND i.indkey[0] = a.attnum AND am.amname = 'hnsw' AND o.opcname LIKE '%%cosine_ops'
    )
FROM pg_attribute a
JOIN pg_type d ON d.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END
JOIN pg_namespace tn ON tn.oid = t.typnamespace
WHERE a.attrelid = %s::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table; ``kind`` is the name of its type, and ``schema`` the type's.

    ``size`` is what the type is declared with, such as the dimension of a vector; -1 if nothing.
    ``unique`` says that it has a unique index, and ``graph`` that it has an HNSW index for cosines.
    """

    name: str
    kind: str
    size: int
    schema: str
    unique: bool
    graph: bool

    @property
    def quoted(self) -> sql.Identifier:
        """Its name in SQL."""
        return sql.Identifier(self.name)

    @property
    def of_row(self) -> sql.Identifier:
        """Its value in a row of the table, which queries call d."""
        return sql.Identifier("d", self.name)

    @property
    def type(self) -> sql.Composable:
        """Its type in SQL."""
        return sql.Identifier(self.schema, self.kind)


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a view, and its columns by what they are for."""

    schema: str
    name: str
    id: Column
    text: Column
    title: Column | None
    metadata: Column | None
    vector: Column | None
    words: Column | None

    @property
    def quoted(self) -> sql.Identifier:
        """Its name in SQL."""
        return sql.Identifier(self.schema, self.name)


def find_table(connection: Connection, options: PostgresOptions, store: str) -> Table | None:
    """The table that the options name; None if there is none.

    Raises StoreMismatchError for a column that is missing, or that has another type;
    StoreAccessError for a table that this user may not read.
    """
    [[encoding]] = connection.execute("SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise StoreMismatchError(
            f"the database of {store} has the encoding {encoding}, in which texts are not ordered "
            "by code point: use one with UTF8"
        )
    parts = [options.schema_name, options.table] if options.schema_name else [options.table]
    quoted = sql.Identifier(*parts).as_string(connection)
    row = connection.execute(_TABLE, [quoted]).fetchone()
    if row is None:
        return None
    oid, schema, name, is_table, readable = row
    if not readable:
        raise StoreAccessError(
            f"{store}: this user may not read the table: ask its owner to GRANT SELECT on it"
        )
    columns = {str(each[0]): Column(*each) for each in connection.execute(_COLUMNS, [oid])}  # type: ignore[arg-type]
    chosen = _Chosen(columns, store)
    table = Table(
        schema=str(schema),
        name=str(name),
        id=chosen.needed("id", options.id, (*TEXTS, "uuid", "int2", "int4", "int8")),
        text=chosen.needed("text", options.text, TEXTS),
        title=chosen.optional("title", options.title, TEXTS),
        metadata=chosen.optional("metadata", options.metadata, ("jsonb", "json")),
        vector=chosen.vector(options.vector),
        words=chosen.optional("words", options.words, ("tsvector",)),
    )
    if is_table and not table.id.unique:
        raise StoreMismatchError(
            f"the column {table.id.name!r} of {store} has no unique index, so that two documents "
            "could have one id: name another column (id=...), or make one"
        )
    if options.search == "hnsw" and table.vector is not None and not table.vector.graph:
        raise StoreMismatchError(
            f"the column {table.vector.name!r} of {store} has no HNSW index for cosines: make one "
            f"(CREATE INDEX ON {name} USING hnsw ({table.vector.name} "
            f"{table.vector.kind}_cosine_ops)), or use search=exact"
        )
    return table


class _Chosen:
    """Picks the columns by the options."""

    def __init__(self, columns: Mapping[str, Column], store: str) -> None:
        self._columns = columns
        self._store = store

    def needed(self, purpose: str, name: str, kinds: Sequence[str]) -> Column:
        column = self._columns.get(name)
        if column is None:
            raise StoreMismatchError(
                f"{self._store} has no column {name!r}, only {self._listed()}: name the one with "
                f"the {purpose} ({purpose}=...)"
            )
        if column.kind not in kinds:
            raise StoreMismatchError(
                f"the column {name!r} of {self._store} has the type {column.kind}, and the "
                f"{purpose} has to be {' or '.join(kinds)}: name another one ({purpose}=...)"
            )
        return column

    def optional(self, purpose: str, name: str | None, kinds: Sequence[str]) -> Column | None:
        """The column of that name; without a name, one that is called by its purpose."""
        if name:
            return self.needed(purpose, name, kinds)
        column = self._columns.get(purpose) if name is None else None
        return column if column is not None and column.kind in kinds else None

    def vector(self, name: str | None) -> Column | None:
        """The column of that name; without a name, the only one with vectors."""
        if name:
            return self.needed("vector", name, tuple(VECTORS))
        found = [each for each in self._columns.values() if each.kind in VECTORS]
        if name == "" or not found:
            return None
        if len(found) > 1:
            raise StoreMismatchError(
                f"{self._store} has the columns {', '.join(shown(each.name) for each in found)} "
                "with vectors: name one of them (vector=...)"
            )
        return found[0]

    def _listed(self) -> str:
        return ", ".join(shown(name) for name in self._columns)
