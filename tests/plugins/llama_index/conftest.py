"""A loop that counts how often it goes on while calls run in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest


@pytest.fixture
def counted() -> Callable[[Sequence[Awaitable[Any]]], tuple[list[Any], int]]:
    """Runs calls in one loop; the results, and the number of times another task had its turn.

    A call that blocked the loop would let it go on only between two calls.
    """

    async def run(calls: Sequence[Awaitable[Any]]) -> tuple[list[Any], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        found = await asyncio.gather(*calls)
        ticking.cancel()
        return found, ticks

    return lambda calls: asyncio.run(run(calls))
