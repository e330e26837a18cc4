"""Further attempts at a call to a store, after the connection to it was lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rerank_search.errors import StoreUnreachableError

FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
"""Bounds of the longest possible wait between two attempts, in seconds."""

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Attempts:
    """Makes a call, and up to ``retries`` further attempts, within ``timeout`` seconds.

    Each wait is a random part of one that doubles, so that clients which failed together do not
    return together.
    """

    timeout: float
    retries: int
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)

    def of(self, call: Callable[[], Value]) -> Value:
        """The result of the call. Raises the error of the last attempt."""
        end = time.monotonic() + self.timeout
        for attempt in range(self.retries):
            try:
                return call()
            except StoreUnreachableError:
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt) * random.random()
                if time.monotonic() + wait > end:
                    raise
            self.sleep(wait)
        return call()
