"""Writing to an index: the lock of the one writer, and the publication of its changes."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_search.errors import IndexLockedError, IndexReadOnlyError
from rerank_search.index.engines import NOT_APPLIED, Engines
from rerank_search.index.language_sample import renewed_sample
from rerank_search.index.write_lock import LOCK, locked
from rerank_search.lock import ProcessLock
from rerank_search.processes import PerProcess
from rerank_search.storage import manifest as manifests
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest, Published

logger = logging.getLogger(__name__)

Progress = Callable[[int], None]


@dataclass(slots=True)
class _Own:
    """The lock as one process sees it. A child forked during a session does not hold it."""

    lock: ProcessLock
    mutex: Any = field(default_factory=threading.RLock)
    writing: bool = False


class Writer:
    """The writer of one index: it holds the lock, for one session at a time.

    ``lock_timeout`` is how many seconds a session waits for another writer.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        store: DocumentStore,
        engines: Engines,
        *,
        read_only: bool,
        lock_timeout: float,
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._store = store
        self._engines = engines
        self._read_only = read_only
        self._lock_timeout = lock_timeout
        self._own = PerProcess(lambda: _Own(ProcessLock(path / LOCK)))
        self._freed = -math.inf

    def _cannot_write(self) -> IndexReadOnlyError:
        if os.access(self._path, os.W_OK):
            return IndexReadOnlyError(
                f"{self._path} was opened with read_only=True: open it with read_only=False to "
                "change it"
            )
        return IndexReadOnlyError(
            f"{self._path} cannot be changed: you have no permission to write to this folder. "
            "Change its permissions, or copy it to a folder that you can write to"
        )

    @contextmanager
    def session(self, *, repairing: bool = False) -> Iterator[None]:
        """Hold the lock of the one writer for a block; one thread at a time.

        Raises IndexLockedError if another process, or another Index object, keeps the lock for
        longer than ``lock_timeout``.
        """
        if self._read_only:
            raise self._cannot_write()
        entered = time.monotonic()
        with self._own.get().mutex:
            if not repairing:
                self._engines.check()
            if self._own.get().writing:  # a session within one of the same thread
                yield
                return
            # Threads that wait for a lock held elsewhere give up together, not one after another.
            # Time spent waiting for a thread of this process does not count.
            deadline = max(entered, self._freed) + self._lock_timeout
            try:
                if not self._take_lock(max(0.0, deadline - time.monotonic())):
                    raise locked(self._path, self._own.get().lock, self._lock_timeout)
                yield
            finally:
                self._free_lock()

    def _take_lock(self, wait: float) -> bool:
        self._own.get().lock.release()  # still held if Ctrl-C interrupted its release
        self._store.check_in_place()  # taking the lock would make the folder again
        with storage_errors(self._path / LOCK):
            if not self._own.get().lock.acquire(wait):
                return False
        self._own.get().writing = True
        try:
            self._store.check_in_place()
            # The previous holder of the lock may have written something, or may have been killed.
            self._manifest = Manifest.read(self._path)
            self._engines.recover()
        except BaseException:
            self._free_lock()
            raise
        return True

    def _free_lock(self) -> None:
        own = self._own.get()
        if own.writing:
            self._freed = time.monotonic()
        own.writing = False
        own.lock.release()

    def recover(self) -> None:
        """Finish what a crash has left undone, unless another process is doing that."""
        with self._own.get().mutex:
            if not self._engines.behind:
                return
            try:
                with suppress(IndexLockedError, IndexReadOnlyError):
                    self._take_lock(0.0)
                if self._own.get().writing:
                    try:
                        self.publish()
                    except NOT_APPLIED as error:  # the other first stages have everything
                        logger.warning(
                            "%s: a first stage lacks the newest documents until the index is "
                            "opened again or written to: %s",
                            self._path,
                            error,
                        )
            finally:
                self._free_lock()

    def publish(
        self,
        documents: int = 0,
        progress: Progress | None = None,
        *,
        whole_blocks: bool = False,
    ) -> None:
        """Bring the engines up to date; ``progress`` gets numbers that add up to ``documents``.

        ``whole_blocks`` leaves the last documents, at most 999, to the next call.
        Raises PluginError, after all other engines are up to date.
        """
        reported = 0

        def tick(number: int) -> None:
            nonlocal reported
            reported += number
            if progress is not None and reported <= documents:
                progress(number)

        behind = self._engines.behind
        self._engines.catch_up(tick, whole_blocks=whole_blocks)
        if progress is not None and reported < documents:
            progress(documents - reported)  # documents without changes or without text
        if behind or self._manifest.published.seq != self._store.totals().seq:
            self.record()
        self._engines.check_applied()

    def describe(self, manifest: Manifest) -> None:
        """Use this manifest; the next ``record`` writes it."""
        self._manifest = manifest.model_copy(update={"published": self._manifest.published})

    def record(self) -> None:
        """Write the published state to the manifest."""
        totals, known = self._store.totals(), self._manifest.published.checksums
        languages = renewed_sample(self._path, self._manifest, self._store, totals.documents)
        self._write(
            Published(
                seq=totals.seq,
                documents=totals.documents,
                passages=totals.passages,
                checksums=manifests.checksums(self._path, self._engines.immutable_files(), known),
                languages=languages,
            )
        )

    def forget(self) -> None:
        """Remove the checksums from the manifest before new files with the same names exist."""
        self._write(Published(languages=self._manifest.published.languages))

    def close(self) -> None:
        """Wait until a session of another thread ends, so that the lock is free."""
        own = self._own.get()
        with own.mutex:
            own.lock.release()

    def _write(self, published: Published) -> None:
        self._manifest = self._manifest.model_copy(update={"published": published})
        with storage_errors(self._path):
            self._manifest.write(self._path)
