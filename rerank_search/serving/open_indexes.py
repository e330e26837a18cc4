"""Indexes that are open: each is opened once, and again if another process has rebuilt it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from rerank_search.index import Index
from rerank_search.index_names import DOCUMENTS
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.retrieval.sparse_encoder import SparseEncoder
from rerank_search.serving.errors import COME_AGAIN, ApiError
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest


@dataclass(slots=True)
class _Open:
    """An open index, the inode of its documents, and how many requests use it."""

    index: Index
    inode: int
    users: int = 0
    replaced: bool = False


class OpenIndexes:
    """Open indexes by name; those with the same encoder share its model. Threads may share one."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._encoders: WeakValueDictionary[str, TextEncoder] = WeakValueDictionary()
        self._sparse: WeakValueDictionary[str, SparseEncoder] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)
        self._opening: dict[str, threading.Lock] = {}

    def names(self) -> set[str]:
        """The names of the indexes that are open."""
        with self._lock:
            return set(self._open)

    @contextmanager
    def use(self, name: str, path: Path) -> Iterator[Index]:
        """The index at this path, which stays open while it is used.

        Raises what Index.open raises, and ApiError 503 if the path cannot be reached.
        """
        entry = self._entered(name, path)
        try:
            yield entry.index
        finally:
            self._left(entry)

    @contextmanager
    def closed(self, name: str, wait: float) -> Iterator[None]:
        """Close the index after the requests that use it; others wait until the block ends.

        Raises ApiError 503 if requests still use it after ``wait`` seconds.
        """
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            with self._lock:
                entry = self._open.get(name)
                if entry is not None:
                    if not self._freed.wait_for(lambda: entry.users == 0, wait):
                        raise ApiError(
                            503,
                            "locked",
                            "requests still use the index: try again",
                            {"Retry-After": str(COME_AGAIN)},
                        )
                    self._open.pop(name, None)  # it may be forgotten while we wait
            if entry is not None:
                self._retire(entry)
            yield

    def forget(self, name: str) -> None:
        """Close an index that was removed, once nobody uses it."""
        with self._lock:
            entry = self._open.pop(name, None)
        if entry is not None:
            self._retire(entry)

    def close(self) -> None:
        """Close all indexes; one that is in use is closed after that."""
        with self._lock:
            entries = list(self._open.values())
            self._open.clear()
        for entry in entries:
            self._retire(entry)

    def _entered(self, name: str, path: Path) -> _Open:
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            inode = _inode(path)
            with self._lock:
                known = self._open.get(name)
                if known is not None and known.inode == inode:
                    known.users += 1
                    return known
            entry = _Open(self._opened(path), inode, users=1)
            with self._lock:
                old = self._open.get(name)
                self._open[name] = entry
            if old is not None:
                self._retire(old)
            return entry

    def _opened(self, path: Path) -> Index:
        made_with = manifest(path)
        dense, sparse = made_with.encoder, made_with.sparse_encoder
        encoder = sparse_encoder = None
        # A record includes the vector of a sentence, so that a changed model is another one.
        if dense is not None:
            own = encoder_of(dense.name, **dense.arguments)
            with self._lock:
                encoder = self._encoders.setdefault(dense.model_dump_json(), own)
        if sparse is not None:
            own_sparse = SparseEncoder(sparse.name, **sparse.arguments)
            with self._lock:
                sparse_encoder = self._sparse.setdefault(sparse.model_dump_json(), own_sparse)
        return Index.open(path, encoder=encoder, sparse_encoder=sparse_encoder)

    def _left(self, entry: _Open) -> None:
        with self._lock:
            entry.users -= 1
            self._freed.notify_all()
            last = entry.replaced and entry.users == 0
        if last:
            entry.index.close()

    def _retire(self, entry: _Open) -> None:
        """Close the index now, or when its last user has finished."""
        with self._lock:
            entry.replaced = True
            unused = entry.users == 0
        if unused:
            entry.index.close()


def manifest(path: Path) -> Manifest:
    """The manifest of an index. Raises SearchIndexError."""
    with storage_errors(path):
        return Manifest.read(path)


def _inode(path: Path) -> int:
    """The inode of the documents, which a rebuild changes; 0 if there are none."""
    try:
        return (path / DOCUMENTS).stat().st_ino
    except FileNotFoundError:  # opening the index says what is wrong
        return 0
    except OSError as error:
        raise ApiError(
            503,
            "index_unavailable",
            f"the index {path.name!r} cannot be reached now ({error.strerror})",
        ) from error
