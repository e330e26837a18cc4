"""A lock between processes that says who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

ASKED_EVERY = 0.02
"""Seconds between two attempts to take a lock that another process holds."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock, and since when (UTC)."""

    pid: int
    host: str
    command: str
    since: datetime

    def __str__(self) -> str:
        if self.pid == os.getpid() and self.host == socket.gethostname():
            return f"this process itself, since {self.since:%H:%M:%S} UTC"
        return (
            f"process {self.pid} on {self.host} ({self.command}), "
            f"since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        )


class ProcessLock:
    """A file that one process at a time can lock; the system frees it when the process ends.

    Waiting processes take turns: a process that frees the lock and wants it again at once lets
    another waiting process have it first. ``PATH.holder`` names the holder, for messages only.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record = path.with_name(f"{path.name}.holder")
        self._held: FileLock | None = None

    def acquire(self, wait: float) -> bool:
        """Take the lock; False if another process still holds it after ``wait`` seconds."""
        deadline = time.monotonic() + wait
        # A lock belongs to the process that made its object: a forked child makes its own.
        turn = FileLock(self._path.with_name(f"{self._path.name}.turn"), thread_local=False)
        lock = FileLock(self._path, thread_local=False)
        try:
            with turn.acquire(timeout=wait, poll_interval=ASKED_EVERY):
                left = max(0.0, deadline - time.monotonic())
                lock.acquire(timeout=left, poll_interval=ASKED_EVERY)
        except Timeout:
            return False
        self._held = lock
        try:
            self._write_record()
        except BaseException:  # Ctrl-C: the caller would not know that it has the lock
            self.release()
            raise
        return True

    def release(self) -> None:
        """Free the lock; harmless if it is not held."""
        if self._held is None:
            return
        with suppress(OSError):
            self._record.unlink()
        lock, self._held = self._held, None
        lock.release()

    def holder(self) -> Holder | None:
        """The process that holds the lock, if it is known.

        None for a missing or damaged record, or if its process has ended.
        """
        try:
            record = json.loads(self._record.read_bytes())
            since = datetime.fromisoformat(record["since"])
            found = Holder(int(record["pid"]), str(record["host"]), str(record["command"]), since)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if found.host == socket.gethostname() and not _is_running(found.pid):
            return None
        return found

    def _write_record(self) -> None:
        """Record the holder, if possible: a failed write must not stop the work itself."""
        mine = Holder(os.getpid(), socket.gethostname(), _command(), datetime.now(UTC))
        record = asdict(mine) | {"since": mine.since.isoformat()}
        temporary = self._record.with_name(f".{self._record.name}.{os.getpid()}.tmp")
        with suppress(OSError):
            temporary.write_text(json.dumps(record), encoding="utf-8")
            temporary.replace(self._record)
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _command() -> str:
    """The program and its subcommands, without options, because their values may be secret."""
    path = Path(sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else sys.executable)
    name = path.parent.name if path.name == "__main__.py" else path.name
    words = [name]
    for argument in sys.argv[1:]:
        if argument.startswith("-"):
            break
        words.append(argument)
    return " ".join(words)[:200]


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # signal 0 would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
