"""The record of the encoder of a table's vectors, in a table of ours beside it."""

from __future__ import annotations

from psycopg import sql
from pydantic import ValidationError

from rerank_search.errors import StoreMismatchError
from rerank_search.storage.manifest import EncoderRecord
from rerank_search.stores.postgres.connections import Connection
from rerank_search.stores.postgres.creation import lock
from rerank_search.stores.postgres.table import Column, Table

NAME = "rerank_search_encoders"
"""The name of our table, in the schema of the table with the vectors."""

_CREATE = """
CREATE TABLE IF NOT EXISTS {} (
    table_name text NOT NULL, column_name text NOT NULL, encoder jsonb NOT NULL,
    PRIMARY KEY (table_name, column_name)
)
"""

_FIND = "SELECT encoder::text FROM {} WHERE table_name = %s AND column_name = %s"

_FORGET = "DELETE FROM {} WHERE table_name = %s AND column_name = %s"

_RECORD = """
INSERT INTO {} (table_name, column_name, encoder) VALUES (%s, %s, %s)
ON CONFLICT (table_name, column_name) DO NOTHING
"""


def recorded_encoder(
    connection: Connection, table: Table, vector: Column, store: str
) -> EncoderRecord | None:
    """The record of the encoder of a column; None if there is none.

    Raises StoreMismatchError for one of a newer version of this package.
    """
    if (record := _record(connection, table, vector)) is None:
        return None
    try:
        return EncoderRecord.model_validate_json(record)
    except ValidationError as error:
        raise StoreMismatchError(
            f"the record of the encoder of {store} in {NAME} cannot be read: upgrade rerank-search "
            "with `pip install -U rerank-search`, or delete that row and name the encoder"
        ) from error


def forget_encoder(connection: Connection, table: Table, vector: Column) -> None:
    """Delete the record of an earlier table of the same name."""
    if _record(connection, table, vector) is not None:
        connection.execute(sql.SQL(_FORGET).format(_records(table)), _key(table, vector))


def record_encoder(
    connection: Connection, table: Table, vector: Column, encoder: EncoderRecord
) -> None:
    """Record the encoder of a column, unless one is recorded."""
    records = _records(table)
    if not _exists(connection, records):
        lock(connection)
        connection.execute(sql.SQL(_CREATE).format(records))
    connection.execute(
        sql.SQL(_RECORD).format(records), [*_key(table, vector), encoder.model_dump_json()]
    )


def _record(connection: Connection, table: Table, vector: Column) -> str | None:
    """The record as JSON; None if there is none."""
    if not _exists(connection, records := _records(table)):
        return None
    row = connection.execute(sql.SQL(_FIND).format(records), _key(table, vector)).fetchone()
    return None if row is None else str(row[0])


def _records(table: Table) -> sql.Identifier:
    return sql.Identifier(table.schema, NAME)


def _exists(connection: Connection, records: sql.Identifier) -> bool:
    found = connection.execute("SELECT to_regclass(%s)", [records.as_string(connection)])
    return found.fetchone() != (None,)


def _key(table: Table, vector: Column) -> list[str]:
    return [table.name, vector.name]
