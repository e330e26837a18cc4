"""The beginnings of documents that are spread evenly over a store."""

from __future__ import annotations

import sqlite3

MOST_CHARACTERS = 2_000
"""Characters read of each text."""


def beginnings(connection: sqlite3.Connection, most: int) -> list[str]:
    """The beginnings of at most ``most`` documents, each with its title."""
    first, last = connection.execute("SELECT min(pk), max(pk) FROM documents").fetchone()
    if first is None:
        return []
    step = (last - first) // most + 1
    found = {}
    for start in range(first, last + 1, step):
        query = (
            "SELECT pk, title, substr(text, 1, ?) FROM documents WHERE pk >= ? ORDER BY pk LIMIT 1"
        )
        pk, title, text = connection.execute(query, (MOST_CHARACTERS, start)).fetchone()
        found[pk] = f"{title}\n{text}"
    return list(found.values())
