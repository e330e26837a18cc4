"""The stores that are served: each is opened at its first use, and shared by all requests."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rerank_search.errors import StoreUnreachableError
from rerank_search.serving.errors import COME_AGAIN, OverloadedError
from rerank_search.shown import shown
from rerank_search.stores import Store, open_store
from rerank_search.stores.url import store_url

AT_ONCE = 48
"""Number of requests that may use one store at a time: three quarters of ``Limits.searches``."""


@dataclass(slots=True)
class _Served:
    """A store that is served, and until when it is not asked again after it could not be reached.

    ``address`` is the URL without a password. ``failed`` is the message of the error.
    """

    url: str = field(repr=False)
    address: str
    room: threading.Semaphore
    opening: threading.Lock = field(default_factory=threading.Lock)
    store: Store | None = None
    failed: str = ""
    again: float = -math.inf


class OpenStores:
    """The stores of a server by their names. Threads may share one.

    A store that cannot be reached takes no threads from what else is served: at most ``at_once``
    requests wait for it, and then it is left alone for as long as clients are told to wait.
    ``clock`` gives seconds. Raises InvalidInputError for a URL that is not valid.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        *,
        at_once: int = AT_ONCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._served = {
            name: _Served(url, str(store_url(url)), threading.Semaphore(at_once))
            for name, url in urls.items()
        }
        self._clock = clock

    def names(self) -> set[str]:
        """The names of the stores."""
        return set(self._served)

    def address(self, name: str) -> str:
        """The URL of a store, without a password."""
        return self._served[name].address

    @contextmanager
    def use(self, name: str) -> Iterator[Store]:
        """The store of that name, which stays open.

        Raises OverloadedError if too many requests use it, and what ``open_store`` raises.
        """
        served = self._served[name]
        if not served.room.acquire(blocking=False):
            raise OverloadedError(
                f"too many requests wait for the store {shown(name)}: try again", retry_after=1.0
            )
        try:
            store = self._opened(served)
            with self._noticing(served):
                yield store
        finally:
            served.room.release()

    def close(self) -> None:
        """Close all stores."""
        for served in self._served.values():
            if served.store is not None:
                served.store.close()

    def _opened(self, served: _Served) -> Store:
        with served.opening:
            if self._clock() < served.again:
                raise StoreUnreachableError(served.failed)
            if served.store is None:
                with self._noticing(served):
                    served.store = open_store(served.url)
            return served.store

    @contextmanager
    def _noticing(self, served: _Served) -> Iterator[None]:
        try:
            yield
        except StoreUnreachableError as error:
            served.failed, served.again = str(error), self._clock() + COME_AGAIN
            raise
