"""A call from its first attempt to its result, without the sending and the waiting themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Generic, TypeAlias, TypeVar

import httpx2

from rerank_search.arguments import real_number, whole_number
from rerank_search.client.calls import Call
from rerank_search.client.errors import refused, unanswered, unreadable
from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

Result = TypeVar("Result")

Outcome: TypeAlias = httpx2.Response | httpx2.RequestError
"""What came of an attempt."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds; a rate limit that counts by the minute never asks for more."""

_TRY_AGAIN = frozenset({429, 503})
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout)
# A timeout is not among them: what took too long once would again, and the server pays for both.
_LOST = (*_NOT_SENT, httpx2.NetworkError, httpx2.RemoteProtocolError)
_SECONDS = re.compile(r"\d{1,9}")


class Server:
    """Where calls go, and how patiently. Raises InvalidInputError for what cannot be used."""

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        random: Callable[[], float],
    ) -> None:
        self.url = _checked_url(base_url)
        self.headers = {} if api_key is None else {"Authorization": f"Bearer {_checked(api_key)}"}
        self.timeout = real_number("timeout", timeout, above=0)
        self.retries = whole_number("retries", retries, least=0)
        self.random = random

    @property
    def settings(self) -> dict[str, Any]:
        """What a client for the same server is made with elsewhere.

        Raises InvalidInputError where a key is part of it: a pickle is kept and sent around.
        """
        if self.headers:
            raise InvalidInputError(
                "a client with an api_key cannot be pickled or copied, since the key would be in "
                "the pickle: make the client where it is used, with the key from there"
            )
        return {"timeout": self.timeout, "retries": self.retries}


class Exchange(Generic[Result]):
    """The attempts at one call: ``wait`` says of each whether another follows.

    Waits double from one to the next, each a random part of that ("full jitter"), so that clients
    which failed together don't come back together. All of them last no longer than ``timeout``
    times ``retries``.
    """

    def __init__(self, server: Server, call: Call[Result]) -> None:
        self._server = server
        self._call = call
        self._attempts = 0
        self._left = server.timeout * server.retries

    @property
    def url(self) -> str:
        """Where the request goes."""
        return self._server.url + self._call.path

    def wait(self, outcome: Outcome) -> float | None:
        """Seconds until the next attempt, or None where this one was the last."""
        self._attempts += 1
        if self._attempts > self._server.retries or not self._may_be_repeated(outcome):
            return None
        most = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self._attempts - 1, 10))
        seconds = _asked_for(outcome) + most * self._server.random()
        if seconds > self._left:
            return None
        self._left -= seconds
        return seconds

    def result(self, outcome: Outcome) -> Result:
        """What the last attempt gave. Raises ServerError, and the errors of the API."""
        where = f"{self._call.method} {self.url}"
        if self._attempts > 1:
            where += f" ({self._attempts} attempts)"
        if isinstance(outcome, httpx2.RequestError):
            raise unanswered(where, outcome, self._server.timeout) from outcome
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
    """The seconds that the server wants to be left alone, within reason."""
    if isinstance(outcome, httpx2.RequestError):
        return 0.0
    given = outcome.headers.get("retry-after", "")
    return min(LONGEST_WAIT, float(given)) if _SECONDS.fullmatch(given) else 0.0


def _checked_url(base_url: str) -> str:
    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise InvalidInputError(f"base_url is no URL ({error}): use http://HOST:PORT") from None
    if url.userinfo:  # not shown: it may be a password
        raise InvalidInputError("base_url has a user's name in it: give a key as api_key")
    if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
        raise InvalidInputError(f"base_url={shown(base_url)} is no server: use http://HOST:PORT")
    return str(url).rstrip("/")


def _checked(api_key: str) -> str:
    if (
        not isinstance(api_key, str)
        or not api_key
        or not api_key.isascii()
        or not api_key.isprintable()
    ):
        raise InvalidInputError("api_key is no key: give what `rerank-search key add` has printed")
    return api_key
