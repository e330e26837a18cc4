from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerank_search.stores import Store, open_store
from tests.stores.listed import ListedStore


@pytest.fixture
def opened(install_package: Callable[..., Any]) -> Iterator[Callable[..., Store]]:
    """Opens stores at ``listed:`` URLs, as an installed package adds them."""
    install_package({}, {"rerank_search.stores": {"listed": "tests.stores.listed:ListedStore"}})
    stores: list[Store] = []

    def open(name: str = "docs", **arguments: Any) -> Store:
        stores.append(open_store(f"listed:///{name}", **arguments))
        return stores[-1]

    yield open
    for store in stores:
        store.close()
    ListedStore.collections.clear()
