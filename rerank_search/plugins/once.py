"""A value that is made at its first use, once, even if many threads ask for it together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Made = TypeVar("Made")


class Once(Generic[Made]):
    """A value that is made at its first use. If making it fails, the next use tries again."""

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: Made | None = None

    def get(self) -> Made:
        """The value; threads wait until it is made. Raises what making it raises."""
        if (made := self._made) is not None:
            return made
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    async def aget(self) -> Made:
        """The value. It is made in a thread, so that the event loop goes on meanwhile."""
        made = self._made
        return await asyncio.to_thread(self.get) if made is None else made

    def forget(self) -> None:
        """Forget the value: the next use makes another one."""
        with self._lock:
            self._made = None
