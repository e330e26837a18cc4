"""Writing to an index: the lock of the one writer, and the publication of what it wrote."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from rerank_search.engines import Engines
from rerank_search.errors import IndexLockedError, IndexReadOnlyError
from rerank_search.storage import manifest as manifests
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest, Published

LOCK = "write.lock"

Progress = Callable[[int], None]


class Writer:
    """Who writes to the index of one directory. The lock is taken late and kept until ``close``."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        store: DocumentStore,
        engines: Engines,
        *,
        read_only: bool,
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._store = store
        self._engines = engines
        self._read_only = read_only
        self._lock = FileLock(path / LOCK, thread_local=False)
        self._mutex = threading.RLock()

    @contextmanager
    def session(self, *, repairing: bool = False) -> Iterator[None]:
        """One thread at a time, with the lock of the one writer."""
        if self._read_only:
            raise IndexReadOnlyError(
                f"{self._path} is open for reading only: open it with read_only=False, where its "
                "directory can be written"
            )
        with self._mutex:
            if not repairing:
                self._engines.check()
            if not self._lock.is_locked:
                self._take_lock()
            yield

    def _take_lock(self) -> None:
        with storage_errors(self._path / LOCK):
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise IndexLockedError(
                    f"another process, or another Index object, is writing to {self._path}: close "
                    "it first, or open the index with read_only=True to search only"
                ) from error
        try:
            self._manifest = Manifest.read(self._path)
            self._engines.recover()
        except BaseException:
            self._lock.release()  # the next attempt has to read what it failed to read
            raise

    def recover(self) -> None:
        """Apply what a crash has left undone, unless another process is just doing it."""
        with self._mutex:
            if not self._engines.behind:
                return
            try:
                self._take_lock()
            except (IndexLockedError, IndexReadOnlyError):
                return
            try:
                self.publish()
            finally:
                self._lock.release()

    def publish(self, documents: int = 0, progress: Progress | None = None) -> None:
        """Bring the engines up to date; ``progress`` gets numbers that add up to ``documents``."""
        reported = 0

        def tick(number: int) -> None:
            nonlocal reported
            reported += number
            if progress is not None and reported <= documents:
                progress(number)

        self._engines.catch_up(tick)
        if progress is not None and reported < documents:
            progress(documents - reported)  # unchanged, or without any text
        if self._manifest.published.seq != self._store.totals().seq:
            self.record()

    def record(self) -> None:
        """Write to the manifest what is published."""
        totals, known = self._store.totals(), self._manifest.published.checksums
        self._write(
            Published(
                seq=totals.seq,
                documents=totals.documents,
                passages=totals.passages,
                checksums=manifests.checksums(self._path, self._engines.immutable_files(), known),
            )
        )

    def forget(self) -> None:
        """Take the checksums out of the manifest, before files of the same names are made."""
        self._write(Published())

    def close(self) -> None:
        """Release the lock; harmless to repeat."""
        with self._mutex:
            self._lock.release(force=True)

    def _write(self, published: Published) -> None:
        self._manifest = self._manifest.model_copy(update={"published": published})
        with storage_errors(self._path):
            self._manifest.write(self._path)
