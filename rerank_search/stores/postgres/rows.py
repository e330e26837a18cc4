"""Documents as rows of a table, written in one transaction."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import psycopg
from psycopg import sql

from rerank_search.errors import InvalidDocumentError, StoreMismatchError
from rerank_search.shown import on_one_line, shown
from rerank_search.storage.records import Record
from rerank_search.stores.ids import LONG, is_whole_id
from rerank_search.stores.postgres.connections import Connection
from rerank_search.stores.postgres.exact_json import exact_json, has_nul
from rerank_search.stores.postgres.table import VECTORS, Column, Table

_INTEGERS = {"int2": range(-(2**15), 2**15), "int4": range(-(2**31), 2**31), "int8": LONG}

# The format of COPY: a header, for each row the number of its fields and each one with its length.
_BEGINNING = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_END = struct.pack(">h", -1)

_TEXT = sql.SQL("text")

_INSERT = """
INSERT INTO {table} ({columns}) SELECT {values} FROM pg_temp.rerank_search_new
ORDER BY {id} ON CONFLICT ({id}) DO UPDATE SET {new}
"""


class _Field(NamedTuple):
    """What is written into a column: as which type it is copied, and what of a document it is."""

    column: Column
    copied: sql.Composable
    value: Callable[[Record], bytes]


def known_ids(column: Column, ids: Sequence[str]) -> list[str]:
    """The ids that the column can have: a uuid or an integer is written in one way only."""
    return [id for id in ids if _can_have(column, id)]


def write(connection: Connection, table: Table, records: Sequence[Record], store: str) -> None:
    """Insert documents, or replace those with the same ids.

    They are copied into a temporary table and inserted from there, in the order of their ids, so
    that two writers do not wait for each other. Raises InvalidDocumentError for a document that the
    table cannot hold, StoreMismatchError for a table that needs more than documents.
    """
    for record in records:
        _check(record, table)
    fields = _fields(table)
    copied = [sql.SQL("{} {}").format(field.column.quoted, field.copied) for field in fields]
    try:
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE rerank_search_new ({}) ON COMMIT DROP").format(
                sql.SQL(", ").join(copied)
            )
        )
        with connection.cursor().copy(
            "COPY pg_temp.rerank_search_new FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.write(_BEGINNING)
            for record in records:
                copy.write(_row([field.value(record) for field in fields]))
            copy.write(_END)
        connection.execute(_inserting(table, fields))
    except psycopg.errors.NotNullViolation as error:
        raise StoreMismatchError(
            f"{store} has a column that documents do not fill ({_said(error)}): give it a default"
        ) from error
    except psycopg.errors.InvalidColumnReference as error:
        raise StoreMismatchError(
            f"the column {table.id.name!r} of {store} has no unique index: make one, so that a "
            "document can replace the one with its id"
        ) from error
    except (
        psycopg.DataError,
        psycopg.IntegrityError,
        psycopg.errors.ProgramLimitExceeded,
    ) as error:
        longest = max(records, key=lambda record: len(record.text))
        raise InvalidDocumentError(
            f"{store} cannot store a document of this batch ({_said(error)}), and stores none of "
            f"it: split or change that document. The longest is {shown(longest.id)}"
        ) from error


def _said(error: psycopg.Error) -> str:
    return on_one_line(error.diag.message_primary or str(error))


def _fields(table: Table) -> list[_Field]:
    fields = [
        _Field(table.id, _TEXT, lambda record: record.id.encode()),
        _Field(table.text, _TEXT, lambda record: record.text.encode()),
    ]
    if table.title is not None:
        fields.append(_Field(table.title, _TEXT, lambda record: record.title.encode()))
    if table.metadata is not None:
        fields.append(
            _Field(table.metadata, _TEXT, lambda record: exact_json(record.metadata).encode())
        )
    if (vector := table.vector) is not None:
        wide = f">f{VECTORS[vector.kind]}"
        fields.append(_Field(vector, vector.type, lambda record: _vector(record, wide)))
    return fields


def _vector(record: Record, wide: str) -> bytes:
    numbers = np.frombuffer(record.vector or b"", "<f4").astype(wide)
    return struct.pack(">hh", len(numbers), 0) + numbers.tobytes()


def _row(values: Sequence[bytes]) -> bytes:
    parts = [struct.pack(">h", len(values))]
    for value in values:
        parts += struct.pack(">i", len(value)), value
    return b"".join(parts)


def _inserting(table: Table, fields: Sequence[_Field]) -> sql.Composed:
    names = [field.column.quoted for field in fields]
    values = [sql.SQL("{}::{}").format(field.column.quoted, field.column.type) for field in fields]
    new = [sql.SQL("{0} = EXCLUDED.{0}").format(name) for name in names if name != table.id.quoted]
    comma = sql.SQL(", ")
    return sql.SQL(_INSERT).format(
        table=table.quoted,
        columns=comma.join(names),
        values=comma.join(values),
        id=table.id.quoted,
        new=comma.join(new),
    )


def _check(record: Record, table: Table) -> None:
    where = f"the document {shown(record.id)}"
    if not _can_have(table.id, record.id):
        raise InvalidDocumentError(
            f"{where}: the column {table.id.name!r} has the type {table.id.kind}, which has no "
            "such value: give ids as PostgreSQL writes them"
        )
    if "\0" in record.text or "\0" in record.title or has_nul(record.metadata):
        raise InvalidDocumentError(
            f"{where} has a NUL character, which PostgreSQL cannot store: remove it"
        )
    if table.title is None and record.title:
        raise InvalidDocumentError(
            f"{where} has a title, and the table has no column for it: name one (title=...), or "
            "leave the title out"
        )
    if table.metadata is None and record.metadata != "{}":
        raise InvalidDocumentError(
            f"{where} has metadata, and the table has no column for it: name one of type jsonb "
            "(metadata=...), or leave the metadata out"
        )


def _can_have(column: Column, id: str) -> bool:
    if (integers := _INTEGERS.get(column.kind)) is not None:
        return is_whole_id(id, integers)
    if column.kind == "uuid":
        return len(id) == 36 and _is_uuid(id)
    return True


def _is_uuid(id: str) -> bool:
    try:
        return str(uuid.UUID(id)) == id
    except ValueError:
        return False
