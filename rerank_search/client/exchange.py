"""One call of the HTTP API: its URL, its attempts and its result; clients send and wait."""

from __future__ import annotations

from typing import Generic, TypeVar

import httpx2

from rerank_search.client.call import Call
from rerank_search.client.errors import refused, unanswered, unreadable
from rerank_search.http_calls.attempts import Attempts, Outcome
from rerank_search.http_calls.endpoint import Endpoint

Result = TypeVar("Result")


class Exchange(Generic[Result]):
    """A call of a server. ``attempts`` says when to try again."""

    def __init__(self, endpoint: Endpoint, call: Call[Result]) -> None:
        self._endpoint = endpoint
        self._call = call
        self.attempts = Attempts(endpoint, repeatable=call.repeatable)

    @property
    def url(self) -> str:
        """The URL of the request."""
        return self._endpoint.url + self._call.path

    def result(self, outcome: Outcome) -> Result:
        """The result of the last attempt. Raises ServerError, and the errors of the API."""
        where = f"{self._call.method} {self.url}"
        if self.attempts.made > 1:
            where += f" ({self.attempts.made} attempts)"
        if isinstance(outcome, httpx2.RequestError):
            raise unanswered(where, outcome, self._endpoint.timeout) from outcome
        if not outcome.is_success:
            raise refused(where, outcome)
        try:
            return self._call.read(outcome.json())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise unreadable(where, outcome) from error
