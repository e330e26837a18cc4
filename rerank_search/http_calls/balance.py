"""Which of several servers of one model gets the next request."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

FIRST_AWAY, LONGEST_AWAY = 0.5, 30.0
"""Bounds of the time, in seconds, for which a server is set aside after it has failed."""


@dataclass(slots=True)
class _Standing:
    """What is known of a server; ``away_until`` is a moment on the clock."""

    outstanding: int = 0
    last_turn: int = 0
    failures: int = 0
    away_until: float = -math.inf
    probed: bool = False


class Balance:
    """Chooses among ``count`` servers, which are numbers from 0. Threads may share one.

    The server with the fewest outstanding requests gets the next one; among equals, the one whose
    last turn was longest ago. A server that fails is set aside. When its time is over, one request
    probes it, and the time doubles with each probe that fails, up to LONGEST_AWAY; each time is
    between half of that and all of it, at random, so that clients do not probe together.
    """

    def __init__(
        self,
        count: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._servers = [_Standing() for _ in range(count)]
        self._clock = clock
        self._random = random
        self._turn = 0
        self._lock = threading.Lock()

    def take(self, tried: Collection[int] = ()) -> int:
        """The server for the next request of a call that has ``tried`` others.

        If none is left but those set aside, the one whose time is over first. ``give_back`` tells
        that the request has ended.
        """
        with self._lock:
            now = self._clock()
            left = [place for place in range(len(self._servers)) if place not in tried]
            present = [place for place in left if self._is_present(place, now)]
            if present:
                chosen = min(present, key=self._load)
            else:
                chosen = min(left or range(len(self._servers)), key=self._away_until)
            self._turn += 1
            self._servers[chosen].last_turn = self._turn
            self._servers[chosen].outstanding += 1
            return chosen

    def give_back(self, place: int) -> None:
        """Count one outstanding request less."""
        with self._lock:
            self._servers[place].outstanding -= 1

    def has_another(self, tried: Collection[int]) -> bool:
        """Whether a server that a call has not ``tried`` is not set aside."""
        with self._lock:
            now = self._clock()
            return any(
                self._is_present(place, now)
                for place in range(len(self._servers))
                if place not in tried
            )

    def due(self) -> int | None:
        """A server that was set aside and whose time is over, to be probed by the caller.

        None if there is none, or if no other server is left: requests probe it then.
        """
        with self._lock:
            now = self._clock()
            places = range(len(self._servers))
            if not any(self._is_present(place, now) for place in places):
                return None
            for place in places:
                server = self._servers[place]
                if server.failures and not server.probed and now >= server.away_until:
                    server.probed = True
                    return place
            return None

    def answered(self, place: int) -> bool:
        """Note that the server works; returns whether it was set aside."""
        with self._lock:
            server = self._servers[place]
            was_away = server.failures > 0
            if was_away:
                server.failures, server.away_until, server.probed = 0, -math.inf, False
            return was_away

    def failed(self, place: int, *, least: float = 0.0) -> float | None:
        """Set the server aside for ``least`` seconds or more; returns how many.

        None if it is set aside already: requests that fail together count once.
        """
        with self._lock:
            server, now = self._servers[place], self._clock()
            server.probed = False
            if server.failures and now < server.away_until:
                return None
            longest = min(LONGEST_AWAY, FIRST_AWAY * 2.0 ** min(server.failures, 10))
            seconds = max(least, longest * (1 + self._random()) / 2)
            server.failures += 1
            server.away_until = now + seconds
            return seconds

    def busy(self, place: int, seconds: float) -> None:
        """Send the server nothing for so many seconds, if there are others."""
        with self._lock:
            server = self._servers[place]
            if not server.failures:
                server.away_until = max(server.away_until, self._clock() + seconds)

    def _is_present(self, place: int, now: float) -> bool:
        server = self._servers[place]
        return not server.failures and now >= server.away_until

    def _load(self, place: int) -> tuple[int, int]:
        server = self._servers[place]
        return server.outstanding, server.last_turn

    def _away_until(self, place: int) -> tuple[float, int]:
        server = self._servers[place]
        return server.away_until, server.last_turn
