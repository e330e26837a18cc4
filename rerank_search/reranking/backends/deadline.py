"""A time by which work has to end, and a lock by which one process of a machine does it."""

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
"""Seconds that another process may take before it is said that it is waited for."""

WAIT = 120.0
"""Seconds that work without a deadline waits for another process that does the same; then it is
done here too, since a process that is stopped keeps its lock."""


class OutOfTimeError(Exception):
    """The deadline has passed, or what comes next would pass it."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of the monotonic clock, which no change of the time of day moves.

    ``export`` are the seconds that an export is expected to take.
    """

    moment: float = math.inf
    export: float = 0.0

    @property
    def left(self) -> float:
        """Seconds until then, at least 0."""
        return max(0.0, self.moment - time.monotonic())

    def check(self, ahead: float = 0.0) -> None:
        """Raise OutOfTimeError unless so many seconds are left."""
        if self.left <= ahead and self.moment < math.inf:
            raise OutOfTimeError


NEVER = Deadline()


@contextmanager
def one_process(path: Path, what: str, seconds: float) -> Iterator[bool]:
    """Hold the machine's lock beside ``path`` while it is made; the system frees that of the dead.

    Yields whether it is held. It is not where no lock can be made: then each process does the work.
    Raises OutOfTimeError where another process holds it for so many seconds.
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
    except (OSError, NotImplementedError):  # a folder, or a file system, that takes no lock
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
