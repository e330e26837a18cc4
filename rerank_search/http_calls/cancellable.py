"""A request that another thread can end."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import httpx2

from rerank_search.http_calls.endpoint import Endpoint

_CONNECTED = ("connect_tcp.complete", "start_tls.complete")
"""Ends of the names of steps after which there is another socket, also through a proxy."""


class CancellableRequest:
    """A request on a connection of its own, which ``cancel`` closes. The server sees that.

    httpx2 has no call that ends a request of another thread, so this one ends its connection.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: httpx2.Client | None = None
        self._socket: socket.socket | None = None
        self._cancelled = False

    def client(self, endpoint: Endpoint) -> httpx2.Client:
        """A new client of the server; ``close`` closes it."""
        self._client = endpoint.connect(httpx2.Client)
        return self._client

    def traced(self, event: str, info: dict[str, Any]) -> None:
        """Remember the connection; httpx2 calls this for each step of the request."""
        if event.endswith(_CONNECTED):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._cancelled:
                    self._shut_down()

    def cancel(self) -> None:
        """End the request: the thread that waits for it gets an error at once."""
        with self._lock:
            self._cancelled = True
            self._shut_down()

    def close(self) -> None:
        """Close the connection, once the request has ended."""
        with self._lock:
            self._socket = None
        if self._client is not None:
            self._client.close()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # the server has closed it already
                # TLS must not be ended first: the other thread is reading.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
