"""The attempts at one call over HTTP: when to try again, and when to stop."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import TypeAlias

import httpx2

from rerank_search.http_calls.endpoint import Endpoint

Outcome: TypeAlias = httpx2.Response | httpx2.RequestError
"""The answer to an attempt, or the error if there was none."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Bounds of a wait, in seconds; a rate limit by the minute never asks for more."""

_TRY_AGAIN = frozenset({429, 503})
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
LOST = (*_NOT_SENT, httpx2.NetworkError, httpx2.RemoteProtocolError)
"""Errors of a connection, after which a call is made again.

Timeouts are missing: a second attempt would take as long, and cost the server twice.
"""

_SECONDS = re.compile(r"\d{1,9}")


class Attempts:
    """The attempts at one call; after each, ``wait`` says whether another follows.

    The longest possible wait doubles from one attempt to the next, and each wait is a random part
    of it ("full jitter"), so that clients which failed together do not return together. All waits
    together are no longer than ``timeout`` times ``retries``, and none ends after ``until``, a
    moment on the monotonic clock. A call that is not ``repeatable`` must not reach the server
    twice.
    """

    def __init__(
        self, endpoint: Endpoint, *, repeatable: bool = True, until: float = math.inf
    ) -> None:
        self._endpoint = endpoint
        self._repeatable = repeatable
        self._until = until
        self._left = endpoint.timeout * endpoint.retries
        self.made = 0

    def wait(self, outcome: Outcome) -> float | None:
        """Seconds until the next attempt, or None if this one was the last."""
        self.made += 1
        if self.made > self._endpoint.retries or not self._may_be_repeated(outcome):
            return None
        most = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self.made - 1, 10))
        seconds = asked_for(outcome) + most * self._endpoint.random()
        if seconds > min(self._left, self._until - time.monotonic()):
            return None
        self._left -= seconds
        return seconds

    def outcome(
        self, send: Callable[[], httpx2.Response], sleep: Callable[[float], None]
    ) -> Outcome:
        """The outcome of the last attempt; ``send`` makes one, ``sleep`` waits for the next."""
        while True:
            outcome: Outcome
            try:
                outcome = send()
            except httpx2.RequestError as error:
                outcome = error
            if (seconds := self.wait(outcome)) is None:
                return outcome
            sleep(seconds)

    def _may_be_repeated(self, outcome: Outcome) -> bool:
        if isinstance(outcome, httpx2.Response):
            return outcome.status_code in _TRY_AGAIN
        return isinstance(outcome, LOST if self._repeatable else _NOT_SENT)


def asked_for(outcome: Outcome) -> float:
    """The seconds that the server asks to wait, up to LONGEST_WAIT."""
    if isinstance(outcome, httpx2.RequestError):
        return 0.0
    given = outcome.headers.get("retry-after", "")
    return min(LONGEST_WAIT, float(given)) if _SECONDS.fullmatch(given) else 0.0
