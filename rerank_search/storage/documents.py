"""The documents of an index in SQLite: the source of truth, with the sequence of changes.

Each upsert and each delete gets the next number of the sequence. The content of a passage id never
changes, and the id is never used again: a new version of a document has new passages, and the old
ones are recorded as removed. So structures derived from passages (postings, vectors) can catch up
from the last number that they have applied, and may apply the same changes twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import IndexNotFoundError
from rerank_search.storage.batch import Batch
from rerank_search.storage.changes import Changes, StoredPassage, changes_since
from rerank_search.storage.connections import Connections
from rerank_search.storage.files import storage_errors
from rerank_search.storage.filter_warnings import filter_warnings
from rerank_search.storage.filtered import AllowedPassages, documents_allowed, ids_allowed
from rerank_search.storage.filters import compile_filter
from rerank_search.storage.lookup import (
    chunks,
    keys_of,
    places,
    records_of,
    vector_problems,
)
from rerank_search.storage.passages import Split
from rerank_search.storage.path_values import collect
from rerank_search.storage.records import Record
from rerank_search.storage.schema import SCHEMA, VECTORS
from rerank_search.storage.spread import beginnings
from rerank_search.types import Document, Filter, Span


@dataclass(frozen=True, slots=True)
class Totals:
    """The last change, and the numbers of documents and passages."""

    seq: int
    documents: int
    passages: int


class DocumentStore:
    """Documents, their passages and their metadata. Safe to share between threads.

    One process at a time may write; the caller holds the lock for that. ``dimension`` is the length
    of the vectors that documents bring with them; None if they bring none.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, dimension: int | None = None
    ) -> None:
        """Open an existing store. Raises IndexCorruptedError for any other file."""
        self.path = path
        self._dimension = dimension
        self._connections = Connections(path, read_only=read_only)
        self._inode = _inode(path)
        self._allowed = AllowedPassages()

    @classmethod
    def create(cls, path: Path, *, dimension: int | None = None) -> DocumentStore:
        """Make an empty store in a new file."""
        schema = SCHEMA if dimension is None else SCHEMA + VECTORS
        with storage_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as new:
            new.execute("PRAGMA journal_mode=WAL")
            new.execute("PRAGMA synchronous=FULL")
            new.executescript(f"BEGIN; {schema} COMMIT;")
        return cls(path, dimension=dimension)

    def check_in_place(self) -> None:
        """Raise IndexNotFoundError if the opened file was deleted or replaced by another one."""
        if _inode(self.path) != self._inode:
            raise IndexNotFoundError(
                f"the index {self.path.parent} was dropped, or replaced by another one, since it "
                "was opened: open it again if there is one"
            )

    def put(self, records: Sequence[Record], split: Callable[[str, str], Split]) -> int:
        """Insert or replace documents in one durable commit; the last of equal ids wins.

        A record that is stored already is left unchanged, and one in which only the metadata is new
        keeps its passages. Returns how many documents are new or changed.
        """
        latest = {record.id: record for record in records}
        known = self._records(list(latest), vectors=self._dimension is not None)
        unchanged = {id for id, (_, record) in known.items() if record == latest[id]}
        changed = [record for id, record in latest.items() if id not in unchanged]
        relabelled, rewritten = [], []
        for record in changed:
            pk, old = known.get(record.id, (0, None))
            if old is not None and old == replace(record, metadata=old.metadata):
                relabelled.append((pk, record))
            else:
                rewritten.append((pk, record, split(record.title, record.text)))
        if changed:
            with self._connections.writing() as connection:
                Batch(connection).put(relabelled, rewritten)
        return len(changed)

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents in one durable commit; unknown ids are skipped. Returns how many."""
        with self._connections.writing() as connection:
            known = list(keys_of(connection, list(dict.fromkeys(ids))).values())
            if known:
                Batch(connection).delete(known, vectors=self._dimension is not None)
        return len(known)

    def get(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents, in the order of ``ids``; None for an unknown id."""
        found = {id: record.document() for id, (_, record) in self._records(ids).items()}
        return [found.get(id) for id in ids]

    def ids(self) -> Iterator[str]:
        """All ids, ascending by code point, a thousand at a time."""
        last = ""
        while True:
            with self._connections.reading() as connection:
                rows = connection.execute(
                    "SELECT id FROM documents WHERE id > ? ORDER BY id LIMIT 1000", (last,)
                ).fetchall()
            if not rows:
                return
            yield from (id for (id,) in rows)
            last = rows[-1][0]

    def find(self, filter: Filter, after: str, limit: int) -> list[Document]:
        """The first ``limit`` documents with ids above ``after`` that the filter allows, by id.

        Raises InvalidFilterError.
        """
        with self._connections.reading() as connection:
            return documents_allowed(connection, filter, after, limit)

    def matching(self, filter: Filter) -> list[str]:
        """The ids of all documents that the filter allows. Raises InvalidFilterError."""
        with self._connections.reading() as connection:
            return ids_allowed(connection, filter)

    def totals(self) -> Totals:
        """The totals, which are stored and need no counting."""
        with self._connections.reading() as connection:
            return Totals(
                *connection.execute("SELECT seq, documents, passages FROM state").fetchone()
            )

    def beginnings(self, most: int) -> list[str]:
        """The beginnings of at most ``most`` documents, spread evenly, each with its title."""
        with self._connections.reading() as connection:
            return beginnings(connection, most)

    @contextmanager
    def changes(
        self, since: int, *, most: int | None = None, until: int | None = None
    ) -> Iterator[Changes]:
        """The changes after ``since``, as of one commit, up to ``until``.

        With ``most``, only whole blocks of changes with about so many passages.
        """
        vectors = self._dimension is not None
        with (
            self._connections.reading() as connection,
            changes_since(connection, since, most=most, until=until, vectors=vectors) as changes,
        ):
            yield changes

    def corpus(self) -> Iterator[StoredPassage]:
        """Every passage, in the order in which they were added."""
        with self.changes(0) as changes:
            yield from changes.added

    def passage_ids(self) -> NDArray[np.int64]:
        """The ids of all passages, ascending."""
        with self._connections.reading() as connection:
            rows = connection.execute("SELECT id FROM passages ORDER BY id")
            return np.fromiter((id for (id,) in rows), np.int64)

    @property
    def splits(self) -> bool:
        """Whether any document has more than one passage."""
        with self._connections.reading() as connection:
            query = "SELECT EXISTS (SELECT 1 FROM passages WHERE start IS NOT NULL)"
            return bool(connection.execute(query).fetchone()[0])

    def allowed(self, filter: Filter) -> NDArray[np.int64]:
        """Sorted ids of the passages whose document the filter allows; do not change the array.

        Raises InvalidFilterError; see rerank_search.storage.filter_tree for what filters mean.
        """
        with self._connections.reading() as connection:
            return self._allowed.of(connection, filter)

    def filter_warnings(self, filter: Filter) -> list[str]:
        """Warnings about keys and kinds of values that no document has; none without documents.

        Raises InvalidFilterError.
        """
        condition = compile_filter(filter)
        with self._connections.reading() as connection:
            if not connection.execute("SELECT documents FROM state").fetchone()[0]:
                return []
            collect(connection, condition.nested)
            return filter_warnings(connection, filter)

    def locate(self, passages: NDArray[np.int64]) -> list[tuple[str, Span | None] | None]:
        """Document id and span (None: all of it) of each passage; None if it was deleted."""
        with self._connections.reading() as connection:
            rows = connection.execute(
                'SELECT p.id, d.id, p.start, p."end" FROM json_each(?) j '
                "JOIN passages p ON p.id = j.value JOIN documents d ON d.pk = p.document",
                (json.dumps(passages.tolist()),),
            ).fetchall()
        found = {
            passage: (id, None if start is None else (start, end))
            for passage, id, start, end in rows
        }
        return [found.get(passage) for passage in passages.tolist()]

    def passages_of(self, documents: Sequence[str]) -> list[list[int]]:
        """The passage ids of each document, ascending; an empty list for an unknown id."""
        found: dict[str, list[int]] = {}
        with self._connections.reading() as connection:
            for chunk in chunks(documents):
                for id, passage in connection.execute(
                    "SELECT d.id, p.id FROM documents d JOIN passages p ON p.document = d.pk "
                    f"WHERE d.id IN ({places(chunk)}) ORDER BY p.id",
                    chunk,
                ):
                    found.setdefault(id, []).append(passage)
        return [list(found.get(id, ())) for id in documents]

    def problems(self) -> list[str]:
        """The problems of the file, each as a sentence; reads all of it."""
        with self._connections.reading() as connection:
            found = [
                f"{self.path.name}: {message}"
                for (message,) in connection.execute("PRAGMA integrity_check")
                if message != "ok"
            ]
            for table, row, *_ in connection.execute("PRAGMA foreign_key_check"):
                found.append(f"{self.path.name}: row {row} of {table} belongs to no document")
            for table in ("documents", "passages"):
                counted = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                kept = connection.execute(f"SELECT {table} FROM state").fetchone()[0]
                if counted != kept:
                    found.append(
                        f"{self.path.name}: there are {counted} {table}, but its state says {kept}"
                    )
            if self._dimension is not None:
                found += vector_problems(connection, self.path.name, self._dimension)
        return found

    @property
    def has_removed(self) -> bool:
        """Whether passages were removed since ``vacuum``."""
        with self._connections.reading() as connection:
            query = "SELECT EXISTS (SELECT 1 FROM removed)"
            return bool(connection.execute(query).fetchone()[0])

    def vacuum(self) -> None:
        """Return the space of deleted documents to the disk, and forget their passages.

        Every engine must have applied all changes, because the list of removals is deleted.
        """
        with self._connections.writing() as connection:
            connection.execute("DELETE FROM removed")
        self._connections.vacuum()

    def close(self) -> None:
        """Close all connections; harmless to repeat."""
        self._connections.close()

    def _records(
        self, ids: Sequence[str], *, vectors: bool = False
    ) -> dict[str, tuple[int, Record]]:
        with self._connections.reading() as connection:
            return records_of(connection, ids, vectors=vectors)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
