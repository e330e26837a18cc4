"""Rows of documents by their ids, in chunks below SQLite's limit of parameters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown
from rerank_search.storage.records import Record

CHUNK = 500
"""Number of ids in one chunk."""


def records_of(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, tuple[int, Record]]:
    """The key and the record of each stored document."""
    known: dict[str, tuple[int, Record]] = {}
    for chunk in chunks(ids):
        for pk, id, title, text, metadata in connection.execute(
            f"SELECT pk, id, title, text, metadata FROM documents WHERE id IN ({places(chunk)})",
            chunk,
        ):
            known[id] = (pk, Record(id, title, text, metadata))
    return known


def keys_of(connection: sqlite3.Connection, ids: list[str]) -> dict[str, int]:
    """The key of each stored document."""
    keys: dict[str, int] = {}
    for chunk in chunks(ids):
        query = f"SELECT id, pk FROM documents WHERE id IN ({places(chunk)})"
        keys.update(connection.execute(query, chunk))
    return keys


def chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids in chunks, without those that no document can have."""
    storable = [id for id in ids if _encodable(id)]
    for start in range(0, len(storable), CHUNK):
        yield storable[start : start + CHUNK]


def _encodable(id: object) -> bool:
    if not isinstance(id, str):
        raise InvalidInputError(f"the document id {shown(id)} is not a string: convert it")
    try:
        id.encode()
    except UnicodeEncodeError:
        return False
    return True


def places(values: Sequence[str]) -> str:
    """SQL placeholders, one for each value."""
    return ", ".join("?" * len(values))
