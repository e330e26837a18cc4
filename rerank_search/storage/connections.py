"""Connections to one SQLite file: one that writes, and as many as needed that read."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_search.errors import IndexReadOnlyError, SearchIndexError
from rerank_search.storage.files import storage_errors


class Connections:
    """A pool, so that threads may share one store; a connection serves one thread at a time."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._idle: deque[sqlite3.Connection] = deque()
        self._writer: sqlite3.Connection | None = None
        self._writing = threading.RLock()
        self._closed = False
        with self.reading():  # a damaged or missing file shows now
            pass

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose queries all see the same commit."""
        self._check_open()
        with storage_errors(self.path):
            connection = self._reusable() or self._connect()
            try:
                connection.execute("BEGIN")
                connection.execute("SELECT seq FROM state").fetchone()  # the snapshot starts here
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: durable once the block is left, undone if an error leaves it."""
        self._check_open()
        if self.read_only:
            raise IndexReadOnlyError(
                f"{self.path} was opened for reading: open the index with read_only=False"
            )
        with self._writing, storage_errors(self.path):
            if self._writer is None:
                self._writer = self._open("rw")
                self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            finally:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")

    def vacuum(self) -> None:
        """Give the space of deleted rows, and of the write-ahead log, back to the disk."""
        with self._writing, storage_errors(self.path):
            connection = self._open("rw")
            try:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def close(self) -> None:
        """Close what is idle now, and the rest as it is given back."""
        self._closed = True
        with self._writing:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        while connection := self._reusable():
            connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise SearchIndexError(f"the index of {self.path} is closed: open it again")

    def _reusable(self) -> sqlite3.Connection | None:
        try:
            return self._idle.pop()  # asking first whether there is one would be a race
        except IndexError:
            return None

    def _connect(self) -> sqlite3.Connection:
        if not self.read_only:
            return self._open("rw")
        try:
            connection = self._open("ro")
            connection.execute("SELECT seq FROM state").fetchone()
        except sqlite3.OperationalError as error:
            # In a directory that cannot be written SQLite has no place for its shared memory.
            log = self.path.with_name(self.path.name + "-wal")
            if "unable to open" not in str(error) and "readonly" not in str(error):
                raise
            if log.exists() and log.stat().st_size > 0:
                raise IndexReadOnlyError(
                    f"{self.path} has changes in {log.name} that cannot be read without write "
                    "permission: open the index once where it can be written, then it is complete"
                ) from error
            return self._open("ro&immutable=1")
        return connection

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
