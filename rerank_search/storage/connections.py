"""Connections to one SQLite file: one for writing, and as many as needed for reading."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakSet

from rerank_search.errors import IndexReadOnlyError, SearchIndexError
from rerank_search.processes import PerProcess
from rerank_search.storage.files import storage_errors
from rerank_search.storage.globs import globbed


@dataclass(slots=True)
class _Pool:
    """The open connections of one process."""

    idle: deque[sqlite3.Connection] = field(default_factory=deque)
    writer: sqlite3.Connection | None = None
    writing: Any = field(default_factory=threading.RLock)


class Connections:
    """A pool with which threads share one store; a connection serves one thread at a time."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._own = PerProcess(_Pool)
        self._closed = False
        _known.add(self)
        with self.reading():  # fail now for a damaged or missing file
            pass

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose queries all see the same commit."""
        self._check_open()
        pool = self._own.get()
        with storage_errors(self.path):
            connection = _reusable(pool) or self._connect()
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
                    pool.idle.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: durable after the block, undone if the block raises an error."""
        self._check_open()
        if self.read_only:
            raise IndexReadOnlyError(
                f"{self.path} was opened for reading: open the index with read_only=False"
            )
        pool = self._own.get()
        with pool.writing, storage_errors(self.path):
            if pool.writer is None:
                pool.writer = self._open("rw")
                pool.writer.execute("PRAGMA synchronous=FULL")
            writer = pool.writer
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            finally:
                if writer.in_transaction:
                    writer.execute("ROLLBACK")

    def vacuum(self) -> None:
        """Return the space of deleted rows, and of the write-ahead log, to the disk."""
        with self._own.get().writing, storage_errors(self.path):
            connection = self._open("rw")
            try:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def close(self) -> None:
        """Close idle connections now, and the others when they are returned."""
        self._closed = True
        pool = self._own.get()
        with pool.writing:
            if pool.writer is not None:
                pool.writer.close()
                pool.writer = None
        while connection := _reusable(pool):
            connection.close()

    def close_idle(self) -> None:
        """Close connections that no thread uses; they are opened again when needed."""
        if (pool := self._own.made()) is None:
            return
        while connection := _reusable(pool):
            connection.close()
        if pool.writing.acquire(blocking=False):
            try:
                if pool.writer is not None and not pool.writer.in_transaction:
                    pool.writer.close()
                    pool.writer = None
            finally:
                pool.writing.release()

    def _check_open(self) -> None:
        if self._closed:
            raise SearchIndexError(f"the index of {self.path} is closed: open it again")

    def _connect(self) -> sqlite3.Connection:
        if not self.read_only:
            return self._open("rw")
        try:
            connection = self._open("ro")
            connection.execute("SELECT seq FROM state").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite cannot create its shared memory in a directory that is not writable.
            log = self.path.with_name(self.path.name + "-wal")
            if "unable to open" not in str(error) and "readonly" not in str(error):
                raise
            if log.exists() and log.stat().st_size > 0:
                raise IndexReadOnlyError(
                    f"{self.path} has changes in {log.name} that cannot be read without write "
                    "permission: open the index once where it can be written, which completes it"
                ) from error
            return self._open("ro&immutable=1")
        return connection

    def _open(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA temp_store=MEMORY")  # there may be no folder to write to
        connection.create_function("globbed", 2, globbed, deterministic=True)
        return connection


def _reusable(pool: _Pool) -> sqlite3.Connection | None:
    try:
        return pool.idle.pop()  # checking first would be a race
    except IndexError:
        return None


_known: WeakSet[Connections] = WeakSet()


def _before_fork() -> None:
    """Close idle connections, so that a child inherits none.

    SQLite remembers which locks on a file its process holds. A child would believe that it holds
    its parent's locks, and keep reading a write-ahead log that another process has removed.
    """
    for each in list(_known):
        with suppress(sqlite3.Error):
            each.close_idle()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork)
