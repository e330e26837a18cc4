"""The documents, and their passages, that a filter allows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidFilterError
from rerank_search.storage.filters import Condition, compile_filter
from rerank_search.storage.path_values import collect
from rerank_search.storage.records import Record
from rerank_search.types import Document, Filter

_FILTERS_REMEMBERED = 8

# SQLite's messages for a query above one of its limits.
_TOO_LARGE = ("too many", "too large", "too big", "stack overflow")


def documents_allowed(
    connection: sqlite3.Connection, filter: Filter, after: str, limit: int
) -> list[Document]:
    """The first ``limit`` documents with ids above ``after``, by id. Raises InvalidFilterError."""
    condition = compile_filter(filter)
    # "+" has SQLite walk along the ids. Otherwise it would sort all documents that match, for
    # every page again.
    query = (
        "SELECT id, title, text, metadata FROM "
        "(SELECT +pk AS document, id, title, text, metadata FROM documents) "
        f"WHERE id > ? AND ({condition.sql}) ORDER BY id LIMIT ?"
    )
    with _too_large_refused():
        collect(connection, condition.nested)
        rows = connection.execute(query, (after, *condition.parameters, limit)).fetchall()
    return [Record(*row).document() for row in rows]


def ids_allowed(connection: sqlite3.Connection, filter: Filter) -> list[str]:
    """The ids of all documents that the filter allows. Raises InvalidFilterError."""
    condition = compile_filter(filter)
    query = f"SELECT id FROM (SELECT pk AS document, id FROM documents) WHERE {condition.sql}"
    with _too_large_refused():
        collect(connection, condition.nested)
        return [id for (id,) in connection.execute(query, condition.parameters)]


class AllowedPassages:
    """The passages that filters allow; those of the last few filters are remembered.

    Both stages of one search, and often the next search, use the same filter.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, Condition], NDArray[np.int64]] = {}
        self._forgetting = threading.Lock()

    def of(self, connection: sqlite3.Connection, filter: Filter) -> NDArray[np.int64]:
        """Sorted ids of the passages; do not change the array. Raises InvalidFilterError."""
        condition = compile_filter(filter)
        seq = connection.execute("SELECT seq FROM state").fetchone()[0]
        key = (seq, condition)
        known = self._known.get(key)
        if known is None:
            known = _passages_allowed(connection, condition)
            known.setflags(write=False)  # later callers share it
            with self._forgetting:
                self._known[key] = known
                while len(self._known) > _FILTERS_REMEMBERED:
                    del self._known[next(iter(self._known))]
        return known


def _passages_allowed(connection: sqlite3.Connection, condition: Condition) -> NDArray[np.int64]:
    # As one text: a row of its own for each id takes longer than finding it.
    query = f"SELECT group_concat(id) FROM passages WHERE {condition.sql}"
    with _too_large_refused():
        collect(connection, condition.nested)
        [ids] = connection.execute(query, condition.parameters).fetchone()
    return np.sort(np.fromstring(ids or "", np.int64, sep=","))


@contextmanager
def _too_large_refused() -> Iterator[None]:
    """Raise InvalidFilterError for a filter above one of SQLite's limits."""
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DataError) as error:
        if not any(sign in str(error) for sign in _TOO_LARGE):
            raise
        raise InvalidFilterError(
            f"the filter has too many conditions ({error}): use $in for values of one key, or "
            "search several times"
        ) from error
