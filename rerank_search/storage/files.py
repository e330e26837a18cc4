"""Errors of a failing disk or a damaged file, translated for the user of an index."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rerank_search.errors import (
    IndexCorruptedError,
    IndexLockedError,
    IndexReadOnlyError,
    SearchIndexError,
    StorageFullError,
)
from rerank_search.files import disk_errors


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the operating system about ``path`` into our own.

    Raises StorageFullError, IndexReadOnlyError, IndexCorruptedError, or IndexLockedError; any other
    OSError passes through.
    """
    try:
        with disk_errors(path):
            yield
    except sqlite3.Error as error:
        raise _translated(str(error), path) from error


def _translated(reason: str, path: Path) -> SearchIndexError:
    # SQLite reports only ENOSPC as "full", and quotas and limits on the size of files as an I/O
    # error.
    if "is full" in reason or "disk I/O error" in reason:
        return StorageFullError(
            f"no space to write {path} ({reason}): the disk is full, or a quota or a limit on "
            "file sizes is reached. Free some space and repeat the call. What was acknowledged "
            "before is safe"
        )
    if "readonly" in reason:
        return IndexReadOnlyError(
            f"{path} cannot be written ({reason}): change its permissions, or copy the index to a "
            "folder of your own"
        )
    if "unable to open" in reason and path.exists() and not os.access(path, os.R_OK):
        return IndexReadOnlyError(f"{path} cannot be read: change its permissions")
    if "locked" in reason:
        return IndexLockedError(f"{path} is in use by another program ({reason}): repeat the call")
    if "closed" in reason:
        return SearchIndexError(f"the index of {path} is closed: open it again")
    return IndexCorruptedError(
        f"{path} is damaged or missing ({reason}), and it holds the documents: restore it from a "
        "copy, or create the index again. `rerank-search index verify` shows the damage"
    )
