"""The lock of the one writer of an index: its file, how long it is waited for, and its error."""

from __future__ import annotations

from pathlib import Path

from rerank_search.arguments import real_number
from rerank_search.errors import IndexLockedError
from rerank_search.lock import ProcessLock
from rerank_search.settings import LONGEST_WAIT, Settings

LOCK = "write.lock"


def seconds_to_wait(lock_timeout: float | None) -> float:
    """The given ``lock_timeout``, or the one of the settings. Raises InvalidInputError."""
    if lock_timeout is None:
        return Settings().lock_timeout
    return real_number("lock_timeout", lock_timeout, least=0, most=LONGEST_WAIT)


def locked(path: Path, lock: ProcessLock, lock_timeout: float) -> IndexLockedError:
    """The error for an index to which another process writes."""
    holder = lock.holder()
    who = "another process, or another Index object" if holder is None else str(holder)
    return IndexLockedError(
        f"{path} cannot be written now: {who} is writing to it, also after "
        f"{lock_timeout:g} s. Try again later, or wait longer: lock_timeout=60, "
        "--lock-timeout 60, or RERANK_SEARCH_LOCK_TIMEOUT=60"
    )
