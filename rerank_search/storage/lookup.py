"""Rows of documents by their ids, in chunks below SQLite's limit of parameters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from rerank_search.shown import shown
from rerank_search.storage.records import NUMBER_BYTES, Record, storable_ids

CHUNK = 500
"""Number of ids in one chunk."""


def records_of(
    connection: sqlite3.Connection, ids: Sequence[str], *, vectors: bool = False
) -> dict[str, tuple[int, Record]]:
    """The key and the record of each stored document; with its own vector if asked for."""
    known: dict[str, tuple[int, Record]] = {}
    for chunk in chunks(ids):
        vector = "(SELECT vector FROM vectors WHERE document = pk)" if vectors else "NULL"
        for pk, *fields in connection.execute(
            f"SELECT pk, id, title, text, metadata, {vector} FROM documents "
            f"WHERE id IN ({places(chunk)})",
            chunk,
        ):
            record = Record(*fields)
            known[record.id] = (pk, record)
    return known


def keys_of(connection: sqlite3.Connection, ids: list[str]) -> dict[str, int]:
    """The key of each stored document."""
    keys: dict[str, int] = {}
    for chunk in chunks(ids):
        query = f"SELECT id, pk FROM documents WHERE id IN ({places(chunk)})"
        keys.update(connection.execute(query, chunk))
    return keys


def vector_problems(connection: sqlite3.Connection, name: str, dimension: int) -> list[str]:
    """A sentence if documents lack their own vector, or have one of another length."""
    query = (
        "SELECT count(*), min(d.id) FROM documents d LEFT JOIN vectors v ON v.document = d.pk "
        "WHERE v.vector IS NULL OR length(v.vector) != ?"
    )
    count, first = connection.execute(query, (dimension * NUMBER_BYTES,)).fetchone()
    if not count:
        return []
    return [
        f"{name}: {count:,} documents have no vector of {dimension} numbers (first id "
        f"{shown(first)}): add them again with their vectors"
    ]


def chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids in chunks, without those that no document can have."""
    storable = storable_ids(ids)
    for start in range(0, len(storable), CHUNK):
        yield storable[start : start + CHUNK]


def places(values: Sequence[str]) -> str:
    """SQL placeholders, one for each value."""
    return ", ".join("?" * len(values))
