"""The record of the encoder of a table's vectors, in a table of ours beside it."""

from __future__ import annotations

from psycopg import sql
from pydantic import ValidationError

from rerank_search.errors import StoreMismatchError
from rerank_search.storage.manifest import EncoderRecord
from rerank_search.stores.postgres.connections import Connection
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
    records = sql.Identifier(table.schema, NAME)
    exists = connection.execute("SELECT to_regclass(%s)", [records.as_string(connection)])
    if exists.fetchone() == (None,):
        return None
    key = [table.name, vector.name]
    row = connection.execute(sql.SQL(_FIND).format(records), key).fetchone()
    if row is None:
        return None
    try:
        return EncoderRecord.model_validate_json(str(row[0]))
    except ValidationError as error:
        raise StoreMismatchError(
            f"the record of the encoder of {store} in {NAME} cannot be read: upgrade rerank-search "
            "with `pip install -U rerank-search`, or delete that row and name the encoder"
        ) from error


def record_encoder(
    connection: Connection, table: Table, vector: Column, encoder: EncoderRecord
) -> None:
    """Record the encoder of a column, unless one is recorded."""
    records = sql.Identifier(table.schema, NAME)
    connection.execute(sql.SQL(_CREATE).format(records))
    connection.execute(
        sql.SQL(_RECORD).format(records), [table.name, vector.name, encoder.model_dump_json()]
    )
