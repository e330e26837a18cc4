"""A deadline for work, and a lock so that one process of a machine does the work."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

MOMENT = 0.5
"""Seconds of waiting for another process before the user is told about it."""

WAIT = 120.0
"""Seconds that work without a deadline waits for another process that does the same.

After that this process does it too, because a suspended process keeps its lock."""


class OutOfTimeError(Exception):
    """The deadline has passed, or the next step would pass it."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time on the monotonic clock, which ignores changes of the time of day.

    ``export`` is the expected duration of an export in seconds.
    """

    moment: float = math.inf
    export: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self.moment - time.monotonic())

    def check(self, ahead: float = 0.0) -> None:
        """Raise OutOfTimeError unless ``ahead`` seconds are left."""
        if self.left <= ahead and self.moment < math.inf:
            raise OutOfTimeError


NEVER = Deadline()


@contextmanager
def one_process(path: Path, what: str, seconds: float) -> Iterator[bool]:
    """Hold the machine's lock beside ``path`` while that file is made.

    The system frees the lock of a process that died. Yields whether the lock is held: if no lock
    can be made, each process does the work. Raises OutOfTimeError if another process holds it for
    ``seconds``.
    """
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=min(MOMENT, seconds))
        except Timeout:
            logger.info("waiting for another process that is %s", what)
            lock.acquire(timeout=-1 if seconds == math.inf else max(0.0, seconds - MOMENT))
    except Timeout as error:
        raise OutOfTimeError from error
    except (OSError, NotImplementedError):  # a folder or a file system without locks
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
