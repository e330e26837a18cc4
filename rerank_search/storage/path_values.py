"""The values of nested metadata keys, as rows by which filters find them.

They are stored beside the documents, with the last change that they have. An index that an earlier
version has written last has none, or old ones. Then a query reads the metadata of the documents
that have a list or a mapping under the path's first key, and the next write stores all values. So
an index of any version answers, also one that cannot be written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable

from rerank_search.storage.attributes import Attribute, nested_attributes
from rerank_search.storage.paths import Name, paths_in, written
from rerank_search.storage.schema import PATH_VALUES, PATHS

LONGEST_STORED = 500
"""Most characters of a stored path; without a bound, long keys in many levels would fill a disk."""

_INSERT = """
INSERT OR IGNORE INTO {}.path_values (key, kind, value, member, document) VALUES (?, ?, ?, ?, ?)
"""

_DOCUMENTS = """
SELECT pk, metadata FROM documents
WHERE pk IN (SELECT document FROM attributes WHERE key = ? AND kind = 'nested')
"""


def make_current(connection: sqlite3.Connection) -> None:
    """Store the values of all documents, unless they are stored already."""
    if _are_current(connection):
        return
    if not _exist(connection):
        for statement in PATHS:
            connection.execute(statement)
    connection.execute("DELETE FROM path_values")
    store(connection, connection.execute("SELECT pk, metadata FROM documents"))
    connection.execute("UPDATE path_state SET seq = (SELECT seq FROM state)")


def store(connection: sqlite3.Connection, documents: Iterable[tuple[int, str]]) -> None:
    """Store the values of new documents (key, metadata); the caller sets the change."""
    connection.executemany(
        _INSERT.format("main"),
        (
            (*row, pk)
            for pk, metadata in documents
            for row in _values(metadata)
            if len(row[0]) <= LONGEST_STORED
        ),
    )


def collect(connection: sqlite3.Connection, names: Collection[Name]) -> None:
    """Have the values of these nested keys in ``path_values`` until the transaction ends."""
    if not names:
        return
    if _are_current(connection) and all(len(name.key) <= LONGEST_STORED for name in names):
        return
    connection.execute(f"CREATE TEMP TABLE path_values {PATH_VALUES}")  # which hides the stored one
    for name in names:
        key, first = name.key, name.steps[0]
        connection.executemany(
            _INSERT.format("temp"),
            (
                (*row, pk)
                for pk, metadata in connection.execute(_DOCUMENTS, (first,))
                for row in nested_attributes({first: json.loads(metadata)[first]})
                if row[0] == key
            ),
        )


def known_paths(connection: sqlite3.Connection, name: Name, most: int) -> list[str]:
    """Paths that begin with the first key of this one: about ``most``, of as many documents."""
    found: set[str] = set()
    for _, metadata in connection.execute(f"{_DOCUMENTS} LIMIT ?", (name.steps[0], most)):
        for steps in paths_in(json.loads(metadata), name.steps[0]):
            if len(found) > most:
                break
            if sum(map(len, steps)) <= LONGEST_STORED:
                found.add(written(steps))
    return sorted(found)


def _values(metadata: str) -> Iterable[Attribute]:
    """The rows of a document's nested keys; most documents have none, which "{" tells quickly."""
    return nested_attributes(json.loads(metadata)) if "{" in metadata[1:] else ()


def _are_current(connection: sqlite3.Connection) -> bool:
    query = "SELECT (SELECT seq FROM path_state) = (SELECT seq FROM state)"
    return _exist(connection) and bool(connection.execute(query).fetchone()[0])


def _exist(connection: sqlite3.Connection) -> bool:
    query = "SELECT EXISTS (SELECT 1 FROM main.sqlite_master WHERE name = 'path_state')"
    return bool(connection.execute(query).fetchone()[0])
