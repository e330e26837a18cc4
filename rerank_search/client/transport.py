"""Calls of a server: the connections, the attempts, and the waits between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import httpx2

from rerank_search.client.call import Call
from rerank_search.client.connections import LoopConnections
from rerank_search.client.exchange import Exchange
from rerank_search.errors import ServerError
from rerank_search.http_calls.attempts import Outcome
from rerank_search.http_calls.endpoint import Endpoint
from rerank_search.processes import PerProcess

Result = TypeVar("Result")


class Transport:
    """Calls a server and waits for it, with ``sleep`` between attempts. Threads may share one."""

    def __init__(self, endpoint: Endpoint, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._endpoint, self._sleep = endpoint, sleep
        self._http = PerProcess(lambda: endpoint.connect(httpx2.Client))
        self._closed = False

    def ask(self, call: Call[Result]) -> Result:
        """The result of a call. Raises ServerError, and the errors of the API."""
        exchange = Exchange(self._endpoint, call)

        def send() -> httpx2.Response:
            _check_open(self._endpoint, self._closed)
            return self._http.get().request(
                call.method, exchange.url, content=call.content, headers=call.headers
            )

        return exchange.result(exchange.attempts.outcome(send, self._sleep))

    def close(self) -> None:
        """Close the connections: later calls raise ServerError. A second call does nothing."""
        self._closed = True
        if (made := self._http.made()) is not None:
            made.close()


class AsyncTransport:
    """``Transport`` for asyncio. Event loops may share one, also those of several threads."""

    def __init__(
        self, endpoint: Endpoint, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._endpoint, self._sleep = endpoint, sleep
        # The functions do not refer to self: without a cycle, a transport is freed at once.
        self._connections = PerProcess(
            lambda: LoopConnections(lambda: endpoint.connect(httpx2.AsyncClient))
        )
        self._closed = False

    async def ask(self, call: Call[Result]) -> Result:
        """The result of a call. Raises ServerError, and the errors of the API."""
        exchange = Exchange(self._endpoint, call)
        while True:
            _check_open(self._endpoint, self._closed)
            http = await self._connections.get().get()
            outcome: Outcome
            try:
                outcome = await http.request(
                    call.method, exchange.url, content=call.content, headers=call.headers
                )
            except httpx2.RequestError as error:
                outcome = error
            if (seconds := exchange.attempts.wait(outcome)) is None:
                return exchange.result(outcome)
            await self._sleep(seconds)

    async def close(self) -> None:
        """Close the connections: later calls raise ServerError. A second call does nothing.

        Other event loops that still run close their connections soon after.
        """
        self._closed = True
        await self._connections.get().close()

    def let_go(self) -> None:
        """Close without waiting: every event loop closes its connections soon after."""
        self._closed = True
        if (made := self._connections.made()) is not None:
            made.let_go()


def _check_open(endpoint: Endpoint, closed: bool) -> None:
    """Raise ServerError if the client was closed."""
    if closed:
        raise ServerError(
            f"the client of {endpoint.url} is closed: make another one", type="closed"
        )
