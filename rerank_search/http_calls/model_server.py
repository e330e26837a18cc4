"""A model behind a URL: requests and answers as JSON."""

from __future__ import annotations

import json
import math
import random
import time
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import httpx2

from rerank_search.errors import InvalidInputError, ModelNotFoundError, ServerError
from rerank_search.http_calls.attempts import Attempts, Outcome
from rerank_search.http_calls.cancellable import CancellableRequest
from rerank_search.http_calls.endpoint import Endpoint
from rerank_search.http_calls.keys import AS_ISSUED, key_variable, stored_key
from rerank_search.http_calls.urls import check_one, is_url
from rerank_search.http_calls.whole_answer import whole
from rerank_search.processes import PerProcess
from rerank_search.queries import check_text
from rerank_search.settings import Settings
from rerank_search.shown import shown
from rerank_search.vectors import LARGEST

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})

Value = TypeVar("Value")


class ModelServer:
    """The server of a model, at ``name``: its full URL, and after a # the model's name there.

    ``api_key`` None takes the variable ``key_variable`` names, if it is set. ``timeout`` and
    ``retries`` are those of ``rerank_search.Client``; an answer that has begun has ``timeout``
    seconds to end too. Threads may share one; no connection is made before the first call.

    Raises InvalidInputError for invalid arguments.
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not is_url(name):
            raise InvalidInputError(f"url={shown(name)} is not a URL: use http://HOST:PORT/PATH")
        url, _, model = name.partition("#")
        check_text(model, "the name of the model in the URL")
        self.host = _host(url)
        self._variable = key_variable(self.host)
        self._endpoint = Endpoint(
            url,
            api_key=stored_key(self._variable) if api_key is None else api_key,
            timeout=timeout,
            retries=retries,
            random=random.random,
            called="url",
            key_fix=AS_ISSUED,
        )
        check_one(name)
        self.url = self._endpoint.url
        self.model = model or None
        self._sleep = sleep
        self._connections = _Connections(self._endpoint)
        weakref.finalize(self, self._connections.close)

    def ask(self, body: dict[str, Any], *, until: float = math.inf) -> Any:
        """The server's answer to a POST request.

        ``until`` is the moment on the monotonic clock when nobody waits for it any more. Raises
        ServerError: with ``status`` if the server answers with an error, with ``type`` "timeout" or
        "connection" if it does not answer. Raises ModelNotFoundError as ``check_allowed`` does.
        """
        self.check_allowed()
        send = partial(self.send, self.content(body), until)
        return self.read(self.attempts(until).outcome(send, self._sleep))

    def attempts(self, until: float) -> Attempts:
        """The attempts of a call that nobody waits for after ``until``."""
        return Attempts(self._endpoint, until=until)

    def content(self, body: dict[str, Any]) -> bytes:
        """The body of a request, with the model's name if there is one."""
        if self.model is not None:
            body = {"model": self.model, **body}
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()

    def send(
        self,
        content: bytes,
        until: float,
        *,
        connect_within: float = math.inf,
        through: CancellableRequest | None = None,
    ) -> httpx2.Response:
        """The answer to one attempt, which has ``connect_within`` seconds for its connection.

        It can be ended ``through`` a request that another thread has. Raises what httpx2 raises.
        """
        seconds = min(self._endpoint.timeout, max(until - time.monotonic(), 1e-3))
        client = self._connections.get() if through is None else through.client(self._endpoint)
        with client.stream(
            "POST",
            self.url,
            content=content,
            headers={"Content-Type": "application/json"},
            timeout=httpx2.Timeout(seconds, connect=min(seconds, connect_within)),
            extensions={} if through is None else {"trace": through.traced},
        ) as answer:
            return whole(answer, min(until, time.monotonic() + self._endpoint.timeout))

    def read(self, outcome: Outcome) -> Any:
        """The JSON of an answer. Raises ServerError for anything else, as ``ask`` does."""
        if isinstance(outcome, httpx2.RequestError):
            raise self._unanswered(outcome) from outcome
        if not outcome.is_success:
            raise self._refused(outcome)
        try:
            return outcome.json()
        except (ValueError, RecursionError) as error:
            raise self.unreadable(f"it is {_media(outcome)}, not JSON") from error

    def check_allowed(self) -> None:
        """Raise ModelNotFoundError for another machine if RERANK_SEARCH_OFFLINE is set."""
        check_allowed([self])

    def in_order(
        self, answer: Any, listed: str | None, wanted: str, count: int, read: Callable[[Any], Value]
    ) -> list[Value]:
        """The values of an answer by the index that each result names, from 0 to ``count - 1``.

        ``listed`` is the field that lists the results, None if the answer is the list itself;
        ``wanted`` is the field of each that ``read`` gets. Raises ServerError for anything else.
        """
        try:
            results = answer if listed is None else answer[listed]
            found = {_place(each["index"]): read(each[wanted]) for each in results}
        except (KeyError, TypeError, ValueError) as error:
            raise self.unreadable(
                f"it has no results with index and {wanted}: {shown(answer)}"
            ) from error
        if sorted(found) != list(range(count)) or len(results) != count:
            raise self.unreadable(
                f"its results are for the texts {shown(sorted(found))}, and {count} were sent"
            )
        return [found[place] for place in range(count)]

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        self._connections.close()

    def unreadable(self, why: str) -> ServerError:
        """The error of an answer that is not what the API promises."""
        return ServerError(
            f"POST {self.url}: the answer cannot be read ({self._endpoint.without_key(why)}): "
            "check the URL, which must end with the path of the API"
        )

    def _refused(self, answer: httpx2.Response) -> ServerError:
        status = answer.status_code
        where = f"POST {self.url}: {status}"
        if status in (401, 403):
            known = "refuses the key" if self._endpoint.headers else "wants a key"
            fix = f"the server {known}: set {self._variable}, or give api_key"
        elif answer.is_redirect:
            fix = f"the server redirects to {shown(answer.headers.get('location'))}: use that URL"
        elif status in (404, 405):
            fix = (
                f"the server has no such path or model ({_said(answer)}): the URL must end with "
                "the path of the API, and with # and the model's name if there are several"
            )
        else:
            fix = _said(answer)
        fix = self._endpoint.without_key(fix)
        return ServerError(f"{where}: {fix}", status=status, type="refused")

    def _unanswered(self, error: httpx2.RequestError) -> ServerError:
        if isinstance(error, httpx2.TimeoutException):
            return ServerError(f"POST {self.url}: no answer in time", type="timeout")
        reason = str(error) or type(error).__name__
        return ServerError(
            f"POST {self.url}: the connection failed ({reason}): check the URL, and that the "
            "server runs",
            type="connection",
        )


def check_allowed(servers: Iterable[ModelServer]) -> None:
    """Raise ModelNotFoundError for another machine if RERANK_SEARCH_OFFLINE is set."""
    elsewhere = [server.url for server in servers if server.host not in _THIS_MACHINE]
    if elsewhere and Settings().offline:  # reading settings takes a millisecond
        raise ModelNotFoundError(
            f"the model {elsewhere[0]} is on another machine, and RERANK_SEARCH_OFFLINE is set: "
            "unset it, or use a local model"
        )


def finite_number(value: Any) -> float:
    """A number of an answer that a float32 can hold. Raises ValueError for anything else."""
    if type(value) not in (int, float) or not abs(value) <= LARGEST:
        raise ValueError(f"not a finite number: {shown(value)}")
    return float(value)


def _place(index: Any) -> int:
    if type(index) is not int:
        raise ValueError(f"not an index: {shown(index)}")
    return index


def _host(url: str) -> str:
    try:
        return httpx2.URL(url).raw_host.decode("ascii")
    except httpx2.InvalidURL as error:
        raise InvalidInputError(
            f"url is not a valid URL ({error}): use http://HOST:PORT/PATH"
        ) from None


class _Connections:
    """The connections of a process to a server, which are made again after ``close``."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._own = self._unmade()

    def get(self) -> httpx2.Client:
        return self._own.get()

    def close(self) -> None:
        if (made := self._own.made()) is not None:
            self._own = self._unmade()
            made.close()

    def _unmade(self) -> PerProcess[httpx2.Client]:
        return PerProcess(lambda: self._endpoint.connect(httpx2.Client))


def _media(answer: httpx2.Response) -> str:
    return answer.headers.get("content-type", "of no type").partition(";")[0]


def _said(answer: httpx2.Response) -> str:
    """The message of an error, as the servers of models word it; the beginning of any other."""
    if not answer.content:
        return "the server gives no reason"
    try:
        said = answer.json()
        for name in ("error", "message", "detail"):
            if isinstance(said, dict) and name in said:
                said = said[name]
        return shown(said, 300)
    except ValueError:
        return f"the answer is {_media(answer)}, not JSON"
