"""The connections of an asynchronous client: each event loop has its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

import httpx2

Kept: TypeAlias = AsyncGenerator[httpx2.AsyncClient, None]


@dataclass(frozen=True, slots=True)
class _Own:
    """The connections of one loop, and the generator that closes them when it ends."""

    http: httpx2.AsyncClient
    kept: Kept


class LoopConnections:
    """Connections for every event loop that uses a client, since loops cannot share one.

    A loop closes its own connections when it shuts down, as ``asyncio.run`` has it do: they are
    kept by an asynchronous generator, and a loop ends the generators that were started in it. The
    loop also ends a generator that nobody refers to any more, whichever thread let go of it. So
    connections are always closed by their own loop.
    """

    def __init__(self, make: Callable[[], httpx2.AsyncClient]) -> None:
        self._make = make
        self._own: dict[asyncio.AbstractEventLoop, _Own] = {}

    async def get(self) -> httpx2.AsyncClient:
        """The connections of the running loop."""
        loop = asyncio.get_running_loop()
        own = self._own.get(loop)
        if own is None or own.http.is_closed:
            for each in [each for each in list(self._own) if each.is_closed()]:
                self._own.pop(each, None)
            kept = _kept(self._make())
            own = self._own[loop] = _Own(await anext(kept), kept)
        return own.http

    def let_go(self) -> None:
        """Have every loop close its connections soon."""
        self._own.clear()

    async def close(self) -> None:
        """Close the connections of the running loop, and have other loops close theirs soon."""
        own = self._own.pop(asyncio.get_running_loop(), None)
        self.let_go()
        if own is not None:
            await own.kept.aclose()


async def _kept(http: httpx2.AsyncClient) -> Kept:
    """The connections, which are closed when the generator ends."""
    try:
        yield http
    finally:
        await http.aclose()
