"""What a forked process has to make anew.

A fork copies the memory of a process and one of its threads. So what relies on other threads
(compiled models, queues with a worker), on a connection (SQLite, HTTP) or on a lock that another
thread may hold is of no use in the child. Such things are kept in a ``PerProcess``.
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
    """Forks between the process that imported this module and the one that asks."""
    return _forks


class PerProcess(Generic[Made]):
    """A value that each process makes for itself, when it first asks for it. Threads may share one.

    What the parent made is never used in a child, and never freed there: freeing it might wait for
    threads that are not there, or say farewell on the parent's connection.
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
        # A lock for each process: the parent's may have been held when it forked.
        with self._making.setdefault(_forks, threading.Lock()):
            if _forks not in self._made:
                self._made[_forks] = self._make()
        return self._made[_forks]

    def made(self) -> Made | None:
        """This process's value if it has been made."""
        return self._made.get(_forks)

    def inherit(self) -> None:
        """Keep the parent's value from being freed by this process."""
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
