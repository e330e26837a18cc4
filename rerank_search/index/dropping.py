"""Dropping an index: it is renamed first, so that it is whole or gone, and then deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

from rerank_search.errors import IndexNotFoundError, InvalidInputError
from rerank_search.files import fsync_directory
from rerank_search.index.write_lock import LOCK, locked
from rerank_search.index_names import is_index, names_of_others
from rerank_search.lock import ProcessLock
from rerank_search.storage.files import storage_errors


def drop(path: Path, lock_timeout: float) -> None:
    """Delete an index that no other process writes to.

    Raises IndexNotFoundError, InvalidInputError for a link and for a folder with other files,
    IndexLockedError, IndexReadOnlyError.
    """
    path = _named(path)
    with storage_errors(path):
        clear_dropped(path)
        _check(path)
        if path.is_symlink():
            raise InvalidInputError(
                f"{path} is a link: drop {path.resolve()}, then remove the link"
            )
        if others := names_of_others(path):
            raise InvalidInputError(
                f"{path} also holds files that do not belong to the index "
                f"({', '.join(others[:3])}): move them elsewhere first"
            )
        lock = ProcessLock(path / LOCK)
        if not lock.acquire(lock_timeout):
            raise locked(path, lock, lock_timeout)
        try:
            _check(path)  # another process may have dropped it meanwhile
            path.rename(_dropped(path))
            fsync_directory(path.parent)
        finally:
            lock.release()
        clear_dropped(path)


def clear_dropped(path: Path) -> None:
    """Delete what is left of an earlier index at this path, whose deletion was interrupted."""
    if (dropped := _dropped(path)).exists():
        shutil.rmtree(dropped)


def _check(path: Path) -> None:
    if not is_index(path):
        raise IndexNotFoundError(f"there is no index at {path}: check the path")


def _dropped(path: Path) -> Path:
    path = _named(path)
    return path.parent / f".{path.name}.dropped"


def _named(path: Path) -> Path:
    """The same path with a name at its end, which "." and ".." are not."""
    return path.resolve() if path.name in ("", "..") else path
