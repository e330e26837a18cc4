"""Connections to PostgreSQL that threads take in turn; a lost one is replaced."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import psycopg
from psycopg.pq import TransactionStatus

from rerank_search.errors import InvalidInputError, StoreError, StoreTimeoutError
from rerank_search.processes import PerProcess
from rerank_search.stores.postgres.errors import store_errors

Connection: TypeAlias = psycopg.Connection[tuple[object, ...]]

MOST = 8
"""Most connections of a process to one store; further threads wait for one of them."""

LONGEST_CONNECTING = 10.0
"""Most seconds until a connection is made, to each address of the host."""

_ALIVE = {
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
"""How a connection to a machine that has gone is found out, instead of waiting for ever."""


class Connections:
    """Connections by the parameters of libpq. Each process makes its own; threads may share them.

    The server gives up a statement after ``timeout`` seconds. ``name`` is the store's in errors.
    """

    def __init__(self, name: str, parameters: Mapping[str, str], timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._parameters = {
            "application_name": "rerank-search",
            "connect_timeout": str(math.ceil(min(timeout, LONGEST_CONNECTING))),
            "tcp_user_timeout": str(math.ceil(timeout * 1000)),
            **_ALIVE,
            **parameters,
            "client_encoding": "UTF8",
        }
        self._idle = PerProcess(_Idle)
        self._closed = False
        weakref.finalize(self, _close, self._idle)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction, which is committed unless an error is raised.

        Raises StoreError and its kin for what psycopg raises.
        """
        if self._closed:
            raise StoreError(f"{self._name} is closed: open it again")
        idle = self._idle.get()
        if not idle.free.acquire(timeout=self._timeout):
            raise StoreTimeoutError(
                f"{self._name}: all {MOST} connections were in use for {self._timeout:g} seconds: "
                "search with fewer threads, or give a longer timeout"
            )
        try:
            with store_errors(self._name):
                connection = idle.take() or self._connected()
                try:
                    with connection.transaction():
                        yield connection
                except BaseException:
                    self._put_back(connection, idle)
                    raise
                self._put_back(connection, idle)
        finally:
            idle.free.release()

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._closed = True
        _close(self._idle)

    def _put_back(self, connection: Connection, idle: _Idle) -> None:
        usable = connection.info.transaction_status == TransactionStatus.IDLE
        if usable:
            idle.put(connection)
        else:
            connection.close()
        # A server that was restarted has lost all others too.
        if not usable or self._closed:
            idle.close()

    def _connected(self) -> Connection:
        try:
            connection = psycopg.connect(
                **self._parameters,  # type: ignore[arg-type]
                autocommit=True,
                prepare_threshold=None,  # plans differ with the filter, and poolers forbid them
            )
        except psycopg.ProgrammingError as error:  # of the options, with no server asked
            raise InvalidInputError(f"the URL {self._name} is not valid: {error}") from None
        try:
            milliseconds = str(math.ceil(self._timeout * 1000))
            connection.execute("SELECT set_config('statement_timeout', %s, false)", [milliseconds])
        except BaseException:
            connection.close()
            raise
        return connection


class _Idle:
    """The connections of a process that no thread uses."""

    def __init__(self) -> None:
        self.free = threading.BoundedSemaphore(MOST)
        self._connections: list[Connection] = []

    def take(self) -> Connection | None:
        """One of them; None if there is none."""
        try:
            return self._connections.pop()
        except IndexError:
            return None

    def put(self, connection: Connection) -> None:
        """Keep a connection for later."""
        self._connections.append(connection)

    def close(self) -> None:
        """Close all of them."""
        while (connection := self.take()) is not None:
            connection.close()


def _close(idle: PerProcess[_Idle]) -> None:
    if (made := idle.made()) is not None:
        made.close()
