"""The attempts at one call: when to try again, and the result; clients send and wait."""

from __future__ import annotations

import re
from typing import Generic, TypeAlias, TypeVar

import httpx2

from rerank_search.client.call import Call
from rerank_search.client.endpoint import Endpoint
from rerank_search.client.errors import refused, unanswered, unreadable

Result = TypeVar("Result")

Outcome: TypeAlias = httpx2.Response | httpx2.RequestError
"""The answer to an attempt, or the error if there was none."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Bounds of a wait, in seconds; a rate limit by the minute never asks for more."""

_TRY_AGAIN = frozenset({429, 503})
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
# Timeouts are missing: a second attempt would take as long, and cost the server twice.
_LOST = (*_NOT_SENT, httpx2.NetworkError, httpx2.RemoteProtocolError)
_SECONDS = re.compile(r"\d{1,9}")


class Exchange(Generic[Result]):
    """The attempts at one call; after each, ``wait`` says whether another follows.

    The longest possible wait doubles from one attempt to the next, and each wait is a random part
    of it ("full jitter"), so that clients which failed together do not return together. All waits
    together are no longer than ``timeout`` times ``retries``.
    """

    def __init__(self, endpoint: Endpoint, call: Call[Result]) -> None:
        self._endpoint = endpoint
        self._call = call
        self._attempts = 0
        self._left = endpoint.timeout * endpoint.retries

    @property
    def url(self) -> str:
        """The URL of the request."""
        return self._endpoint.url + self._call.path

    def wait(self, outcome: Outcome) -> float | None:
        """Seconds until the next attempt, or None if this one was the last."""
        self._attempts += 1
        if self._attempts > self._endpoint.retries or not self._may_be_repeated(outcome):
            return None
        most = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._attempts - 1, 10))
        seconds = _asked_for(outcome) + most * self._endpoint.random()
        if seconds > self._left:
            return None
        self._left -= seconds
        return seconds

    def result(self, outcome: Outcome) -> Result:
        """The result of the last attempt. Raises ServerError, and the errors of the API."""
        where = f"{self._call.method} {self.url}"
        if self._attempts > 1:
            where += f" ({self._attempts} attempts)"
        if isinstance(outcome, httpx2.RequestError):
            raise unanswered(where, outcome, self._endpoint.timeout) from outcome
        if not outcome.is_success:
            raise refused(where, outcome)
        try:
            return self._call.read(outcome.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise unreadable(where, outcome) from error

    def _may_be_repeated(self, outcome: Outcome) -> bool:
        if isinstance(outcome, httpx2.Response):
            return outcome.status_code in _TRY_AGAIN
        return isinstance(outcome, _LOST if self._call.repeatable else _NOT_SENT)


def _asked_for(outcome: Outcome) -> float:
    """The seconds that the server asks to wait, up to LONGEST_WAIT."""
    if isinstance(outcome, httpx2.RequestError):
        return 0.0
    given = outcome.headers.get("retry-after", "")
    return min(LONGEST_WAIT, float(given)) if _SECONDS.fullmatch(given) else 0.0
