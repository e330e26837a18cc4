"""Calls of the REST API: requests and answers as JSON, and errors as those of stores."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import httpx2

from rerank_search.errors import (
    InvalidInputError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.http_calls.endpoint import Endpoint
from rerank_search.http_calls.keys import key_variable, stored_key
from rerank_search.http_calls.whole_answer import whole
from rerank_search.processes import PerProcess
from rerank_search.shown import shown
from rerank_search.stores.url import StoreUrl

_LATER = (429, 502, 503, 504)
"""Statuses after which the same call may work."""

_TOO_LARGE = ("too_many", "maxClauseCount", "Terms Query request has exceeded", "nested depth")
"""What the engines say of a search above one of their limits."""


class ElasticHttp:
    """The connections to one server. Threads share one; it connects on first use.

    The key is in the variable that ``key_variable`` names: an API key, or ``user:password``.
    """

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        endpoint = Endpoint(
            f"{url.transport}://{url.host}",
            api_key=None,
            timeout=timeout,
            retries=0,
            random=random.random,
            called="url",
        )
        self._address = endpoint.url
        self._variable = key_variable(httpx2.URL(endpoint.url).raw_host.decode("ascii"))
        self._key = stored_key(
            self._variable, fix="give an API key, or user:password, without a line break"
        )
        self._connect = partial(endpoint.connect, httpx2.Client, headers=self._headers())
        self._clients = PerProcess(self._connect)

    def _headers(self) -> dict[str, str]:
        if self._key is None:
            return {}
        if ":" in self._key:
            return {"Authorization": f"Basic {base64.b64encode(self._key.encode()).decode()}"}
        return {"Authorization": f"ApiKey {self._key}"}

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        lines: Sequence[Any] | None = None,
        **parameters: str,
    ) -> Any:
        """The answer to a request, whose body is JSON or, with ``lines``, a JSON value a line."""
        content = None if body is None else _json(body)
        media = "application/json"
        if lines is not None:
            content = b"".join(_json(line) + b"\n" for line in lines)
            media = "application/x-ndjson"
        until = time.monotonic() + self._timeout
        try:
            with self._clients.get().stream(
                method,
                f"{self._address}{path}",
                content=content,
                params=parameters,
                headers={} if content is None else {"Content-Type": media},
            ) as answer:
                read = whole(answer, until)
        except httpx2.TimeoutException as error:
            raise StoreTimeoutError(
                f"{self._url} did not answer in time: use a longer timeout"
            ) from error
        except httpx2.RequestError as error:
            reason = str(error) or type(error).__name__
            raise StoreUnreachableError(
                f"{self._url} cannot be reached ({reason}): check the address, and that the "
                "server runs"
            ) from error
        if not read.is_success:
            raise self._refused(read)
        try:
            return read.json()
        except (ValueError, RecursionError) as error:
            raise self.unreadable("it is not JSON") from error

    def unreadable(self, why: str) -> StoreError:
        """The error of an answer that is not what the API promises."""
        return StoreError(
            f"the answer of {self._url} cannot be read ({why}): check that Elasticsearch or "
            "OpenSearch is at this address"
        )

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        if (made := self._clients.made()) is not None:
            self._clients = PerProcess(self._connect)
            made.close()

    def said(self, reason: Any) -> str:
        """The server's own words for an error, without the key."""
        if self._key is not None and isinstance(reason, str):
            reason = reason.replace(self._key, "(the key)")
        return shown(reason, 300)

    def refusal(self, status: int, reason: Any) -> StoreError | InvalidInputError:
        """The error for a status and the server's own words, in an answer or in a part of one."""
        said = self.said(reason)
        if "flood-stage" in said or "No space left" in said:
            return StoreFullError(
                f"{self._url} has no space left ({said}): make room there, then write again"
            )
        if "task_cancelled" in said:
            return StoreTimeoutError(f"the call was cancelled by {self._url} ({said})")
        if status in (401, 403):
            known = "refuses the key" if self._key else "wants a key"
            return StoreAccessError(f"{self._url} {known} ({said}): set {self._variable} to one")
        if status == 404:
            return StoreNotFoundError(f"{self._url} does not exist there ({said}): check its name")
        if status in _LATER:
            return StoreUnreachableError(
                f"{self._url} cannot answer now ({status}: {said}): try again later, or send less "
                "at a time"
            )
        if status == 408:
            return StoreTimeoutError(f"{self._url} did not answer in time ({said})")
        if status == 413:
            return StoreError(f"{self._url} takes smaller requests only: use a lower batch_size")
        if status == 400 and any(sign in said for sign in _TOO_LARGE):
            return InvalidInputError(
                f"{self._url} refuses the search as too large ({said}): use fewer conditions or "
                "values in the filter, or fewer words"
            )
        if status == 400:
            return StoreMismatchError(
                f"{self._url} refuses the call ({said}): check that the index is as it was"
            )
        return StoreError(f"{self._url} answers with the error {status}: {said}")

    def _refused(self, answer: httpx2.Response) -> StoreError | InvalidInputError:
        try:
            said = answer.json()
        except ValueError:
            return self.refusal(answer.status_code, answer.text)
        return self.refusal(answer.status_code, reason_in(said))


def reason_in(said: Any) -> Any:
    """The server's reason in a body of an error, or in a part of one."""
    error = said.get("error", said) if isinstance(said, Mapping) else said
    if not isinstance(error, Mapping):
        return error
    causes = error.get("root_cause")
    cause = causes[0] if isinstance(causes, list) and causes else error
    named = cause if isinstance(cause, Mapping) else error
    return f"{named.get('type')}: {named.get('reason')}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
