"""How often each caller may send a request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rerank_search.serving.errors import ApiError

_KNOWN = 10_000
"""Largest number of callers with a bucket; beyond it, full buckets are dropped."""


class RateLimiter:
    """A token bucket for each caller, which holds at most the requests of a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    @property
    def callers(self) -> int:
        """The number of callers that are remembered."""
        return len(self._buckets)

    def check(self, caller: str) -> None:
        """Count a request. Raises ApiError 429, with the seconds until the next one is allowed."""
        now = self._clock()
        with self._lock:
            tokens = self._tokens(caller, now)
            if tokens >= 1:
                if len(self._buckets) >= _KNOWN:
                    self._forget(now)
                self._buckets[caller] = (tokens - 1, now)
                return
        seconds = max(1, -int(-(1 - tokens) / self._per_second // 1))
        raise ApiError(
            429,
            "rate_limited",
            f"more than {self._capacity:.0f} requests a minute: try again in {seconds} s",
            {"Retry-After": str(seconds)},
        )

    def _tokens(self, caller: str, now: float) -> float:
        tokens, before = self._buckets.get(caller, (self._capacity, now))
        return min(self._capacity, tokens + (now - before) * self._per_second)

    def _forget(self, now: float) -> None:
        self._buckets = {
            caller: bucket
            for caller, bucket in self._buckets.items()
            if self._tokens(caller, now) < self._capacity
        }
