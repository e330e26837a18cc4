"""One AsyncClient in several event loops, one after the other and at the same time."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from rerank_search import AsyncClient, Client
from rerank_search.client import ServerError
from tests.client.conftest import Served
from tests.waiting import until

QUERY = "join the paths"


async def found(client: AsyncClient, query: str = QUERY) -> list[str]:
    return [hit.id for hit in (await client.search(query)).hits]


def test_one_client_works_in_one_loop_after_another(notes_server: Served):
    client = AsyncClient(notes_server.url, "notes")
    first, *others = [asyncio.run(found(client)) for _ in range(3)]
    assert first
    assert others == [first, first]
    until(lambda: notes_server.connections == 0)


def test_loops_in_several_threads_share_a_client(notes_server: Served):
    client = AsyncClient(notes_server.url, "notes")
    together = threading.Barrier(4)

    async def search() -> list[list[str]]:
        together.wait()
        return await asyncio.gather(*[found(client) for _ in range(4)])

    with ThreadPoolExecutor(4) as pool:
        results = [each.result() for each in [pool.submit(asyncio.run, search()) for _ in range(4)]]
    first = results[0][0]
    assert first
    assert results == [[first] * 4] * 4
    until(lambda: notes_server.connections == 0)


def test_coroutines_of_a_loop_share_connections(notes_server: Served):
    async def search() -> int:
        async with AsyncClient(notes_server.url, "notes") as client:
            for _ in range(5):
                await found(client)
            return notes_server.connections

    assert asyncio.run(search()) == 1


def test_ended_loops_are_forgotten(notes_server: Served):
    client = AsyncClient(notes_server.url, "notes")
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def search() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await found(client)

    for _ in range(5):
        asyncio.run(search())
    gc.collect()
    assert [loop() is None for loop in loops[:-1]] == [True] * 4


def test_a_client_that_nobody_closes_is_closed_by_its_loop(notes_server: Served):
    async def search() -> None:
        await found(AsyncClient(notes_server.url, "notes"))
        gc.collect()
        while notes_server.connections:
            await asyncio.sleep(0)

    asyncio.run(search())


def test_closing_also_closes_the_connections_of_other_loops(notes_server: Served):
    client = AsyncClient(notes_server.url, "notes")
    searched, end = threading.Event(), threading.Event()

    async def search() -> None:
        await found(client)
        searched.set()
        await asyncio.to_thread(end.wait)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(asyncio.run, search())
        searched.wait()
        assert notes_server.connections == 1
        asyncio.run(client.close())
        until(lambda: notes_server.connections == 0)
        end.set()
        other.result()


def test_a_closed_client_says_so(notes_server: Served):
    async def use() -> None:
        client = AsyncClient(notes_server.url, "notes")
        await found(client)
        await client.close()
        await client.close()
        with pytest.raises(ServerError, match="is closed: make another") as raised:
            await found(client)
        assert raised.value.type == "closed"
        unused = AsyncClient(notes_server.url, "notes")
        await unused.close()
        with pytest.raises(ServerError, match="is closed"):
            await found(unused)

    asyncio.run(use())
    for before in (True, False):
        client = Client(notes_server.url, "notes")
        if before:
            assert client.search(QUERY).hits
        client.close()
        client.close()
        with pytest.raises(ServerError, match="is closed"):
            client.search(QUERY)


def test_a_cancelled_search_leaves_the_client_usable(notes_server: Served):
    async def use() -> list[str]:
        async with AsyncClient(notes_server.url, "notes") as client:
            expected = await found(client)
            task = asyncio.create_task(found(client))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await found(client) == expected
            return expected

    assert asyncio.run(use())
