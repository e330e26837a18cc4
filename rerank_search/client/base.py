"""What all clients have: the server, the index, and how they are shown and pickled."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from rerank_search.client.call import index_name
from rerank_search.http_calls.endpoint import Endpoint
from rerank_search.shown import shown


class BaseClient:
    """A client of one server, and of one of its indexes."""

    def __init__(
        self,
        base_url: str,
        index: str | None,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._endpoint = Endpoint(
            base_url, api_key=api_key, timeout=timeout, retries=retries, random=random
        )
        self._index = None if index is None else index_name(index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as address and settings. Raises InvalidInputError for a client with a key."""
        return partial(type(self), **self._endpoint.settings), (self._endpoint.url, self._index)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self._endpoint.url)}, {shown(self._index)})"
