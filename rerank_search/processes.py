"""Values that a forked process has to make again.

A fork copies the memory of a process but only one of its threads. So objects that rely on other
threads (compiled models, queues with a worker), on a connection (SQLite, HTTP) or on a lock that
another thread may hold do not work in the child. Keep such objects in a ``PerProcess``.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Made = TypeVar("Made")

_forks = 0
_known: WeakSet[PerProcess[Any]] = WeakSet()


def forks() -> int:
    """The number of forks between the process that imported this module and this process."""
    return _forks


class PerProcess(Generic[Made]):
    """A value that each process makes for itself, on first use. Threads may share one.

    The parent's value is never used in a child, and never freed there: freeing it might wait for
    threads that do not exist in the child, or close the parent's connection.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: dict[int, Made] = {}
        self._making: dict[int, threading.Lock] = {}
        _known.add(self)

    def get(self) -> Made:
        """This process's value."""
        if (found := self.made()) is not None:
            return found
        # Each process has its own lock, because the parent's may have been held at the fork.
        with self._making.setdefault(_forks, threading.Lock()):
            if _forks not in self._made:
                self._made[_forks] = self._make()
        return self._made[_forks]

    def made(self) -> Made | None:
        """This process's value if it has been made, else None."""
        return self._made.get(_forks)

    def inherit(self) -> None:
        """Prevent this process from freeing the parent's value."""
        for value in self._made.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
        self._made.clear()


def _in_child() -> None:
    global _forks
    _forks += 1
    for each in list(_known):
        each.inherit()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_in_child)
