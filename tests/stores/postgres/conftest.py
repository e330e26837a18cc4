from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest

from rerank_search.stores import Store, open_store
from tests.postgres import Postgres

_NUMBERS = count()


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also in a run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def table() -> str:
    """The name of a table that there is not; as a name, it needs quotation marks."""
    return f'Docs "{next(_NUMBERS)}"; --'


@pytest.fixture
def opened(postgres: Postgres, table: str) -> Iterator[Callable[..., Store]]:
    """Opens the table as a store, by default as its owner."""
    stores: list[Store] = []

    def open(user: str | None = None, **arguments: Any) -> Store:
        stores.append(open_store(postgres.url(user), **({"table": table} | arguments)))
        return stores[-1]

    yield open
    for store in stores:
        store.close()
