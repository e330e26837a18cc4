"""A folder that a rebuild replaces as a whole, while others may read it or the process may die.

The new content is made in ``NAME.new``. Then ``NAME`` is renamed to ``NAME.old`` and ``NAME.new``
to ``NAME``. A reader that comes between the two renames waits for the second one. If the process
dies between them, the next writer undoes the first rename.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from rerank_search.files import fsync_directory
from rerank_search.storage.files import storage_errors

RENAMING = 5.0
"""Seconds that the two renames may take; after that their process is assumed to be killed."""


class SwappedFolder:
    """A folder that can be replaced as a whole. Its next content is made in ``new``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.new = path.with_name(f"{path.name}.new")
        self._old = path.with_name(f"{path.name}.old")

    @property
    def inode(self) -> int | None:
        """The inode, which differs for a folder that replaces this one; None if it is missing."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return None

    @property
    def between_renames(self) -> bool:
        """Whether the old content is moved away and the new content is not in place yet."""
        return self.new.exists() and self.inode is None

    def settle(self) -> None:
        """Wait until another process has finished its two renames, or must have died."""
        deadline = time.monotonic() + RENAMING
        while self.between_renames and time.monotonic() < deadline:
            time.sleep(0.01)

    def put_back(self) -> None:
        """Undo the first rename of a process that was killed before the second."""
        if self.inode is None and self._old.exists():
            with storage_errors(self.path):
                self._old.rename(self.path)

    def clear(self) -> None:
        """Delete the remains of an earlier swap."""
        for leftover in (self.new, self._old):
            if leftover.exists():
                shutil.rmtree(leftover)

    def swap(self) -> None:
        """Put the new content in place of the old one, durably."""
        if self.path.exists():
            self.path.rename(self._old)
        self.new.rename(self.path)
        fsync_directory(self.path.parent)

    def drop_old(self) -> None:
        """Delete the replaced content; files that a reader has open may remain."""
        shutil.rmtree(self._old, ignore_errors=True)
