"""Making a new table with its indexes."""

from __future__ import annotations

import psycopg
from psycopg import sql

from rerank_search.errors import InvalidInputError, StoreAccessError
from rerank_search.stores.base import NewStore
from rerank_search.stores.postgres.connections import Connection
from rerank_search.stores.postgres.options import PostgresOptions

LOCK = 7_308_332_045_513_748
"""The key of the lock under which one process at a time makes tables."""

LARGEST_PLAIN = 1500
"""Most numbers of a vector that is stored in its row, where it is read fastest."""

_EXTENSION = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'vector'
"""


def lock(connection: Connection) -> None:
    """Have other processes that make tables wait until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def create_table(
    connection: Connection, options: PostgresOptions, new: NewStore, store: str
) -> bool:
    """Make the table and its indexes; False if another process has just made it.

    Raises StoreAccessError if pgvector is missing, and this user may not create it.
    """
    lock(connection)
    parts = [options.schema_name, options.table] if options.schema_name else [options.table]
    table = sql.Identifier(*parts)
    names = {
        purpose: sql.Identifier(getattr(options, purpose) or purpose)
        for purpose in ("id", "text", "title", "metadata", "words", "vector")
        if getattr(options, purpose) != ""
    }
    columns = [
        sql.SQL('{} text COLLATE "C" PRIMARY KEY').format(names["id"]),
        sql.SQL("{} text NOT NULL").format(names["text"]),
    ]
    indexes: list[sql.Composable] = []
    searched: sql.Composable = names["text"]
    if "title" in names:
        columns.append(sql.SQL("{} text NOT NULL DEFAULT ''").format(names["title"]))
        searched = sql.SQL("{} || ' ' || {}").format(names["title"], names["text"])
    if "metadata" in names:
        columns.append(sql.SQL("{} jsonb NOT NULL DEFAULT '{{}}'").format(names["metadata"]))
        indexes.append(sql.SQL("gin ({} jsonb_path_ops)").format(names["metadata"]))
    if "words" in names:
        made = "{} tsvector GENERATED ALWAYS AS (to_tsvector({}::regconfig, {})) STORED"
        columns.append(
            sql.SQL(made).format(names["words"], sql.Literal(options.language), searched)
        )
        indexes.append(sql.SQL("gin ({})").format(names["words"]))
    if new.dimension is not None:
        schema = _vector_schema(connection, store)
        kind = sql.Identifier(schema, "vector")
        columns.append(
            sql.SQL("{} {}({})").format(names["vector"], kind, sql.Literal(new.dimension))
        )
        if options.search == "hnsw":
            operators = sql.Identifier(schema, "vector_cosine_ops")
            indexes.append(sql.SQL("hnsw ({} {})").format(names["vector"], operators))
    try:
        with connection.transaction():
            connection.execute(
                sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns))
            )
    except psycopg.errors.DuplicateTable:
        return False
    for index in indexes:
        connection.execute(sql.SQL("CREATE INDEX ON {} USING {}").format(table, index))
    if new.dimension is not None and new.dimension <= LARGEST_PLAIN:
        connection.execute(
            sql.SQL("ALTER TABLE {} ALTER COLUMN {} SET STORAGE PLAIN").format(
                table, names["vector"]
            )
        )
    return True


def check_language(connection: Connection, language: str) -> None:
    """Raise InvalidInputError unless there is such a text-search configuration."""
    known = sorted(
        str(name)
        for (name,) in connection.execute(
            "SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid)"
        )
    )
    if language not in known:
        raise InvalidInputError(
            f"language={language!r} is not a text-search configuration there: use one of "
            f"{', '.join(known)}"
        )


def _vector_schema(connection: Connection, store: str) -> str:
    """The schema of pgvector, which is created if this user may do that."""
    row = connection.execute(_EXTENSION).fetchone()
    if row is None:
        [[may]] = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        if not may:
            raise StoreAccessError(
                f"the database of {store} has no pgvector, and this user may not create it: ask a "
                "superuser to run CREATE EXTENSION vector there"
            )
        connection.execute("CREATE EXTENSION vector")
        [row] = connection.execute(_EXTENSION)
    return str(row[0])
