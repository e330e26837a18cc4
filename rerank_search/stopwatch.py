"""The time of a search, stage by stage."""

from __future__ import annotations

import time


class Stopwatch:
    """Milliseconds of each stage for one query, or for several that share the stages."""

    def __init__(self, laps: dict[str, float] | None = None) -> None:
        self._laps = laps or {}
        self._before = sum(self._laps.values())
        self._started = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count the time since the last lap as this stage's."""
        now = time.perf_counter()
        self._laps[stage] = (now - self._last) * 1000
        self._last = now

    def skip(self) -> None:
        """Leave out the time since the last lap."""
        now = time.perf_counter()
        self._started += now - self._last
        self._last = now

    def share(self, queries: int) -> Stopwatch:
        """A watch for one of the queries, which continues from its equal part of the laps."""
        return Stopwatch({stage: spent / queries for stage, spent in self._laps.items()})

    def elapsed(self) -> float:
        """The total in milliseconds."""
        return self._before + (time.perf_counter() - self._started) * 1000

    def with_total(self) -> dict[str, float]:
        """The stages, with ``total``."""
        return {**self._laps, "total": self.elapsed()}
