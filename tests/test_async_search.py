"""Searches awaited by coroutines: the results of ``search``, while the event loop goes on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rerank_search import (
    CrossEncoderReranker,
    Document,
    Index,
    InvalidInputError,
    RerankError,
    Searcher,
    SearchOptions,
    SearchResponse,
)
from rerank_search.models.threads import available_cores
from rerank_search.worker_threads import LEAST_THREADS

WORDS = ["join", "split", "read", "write", "bread", "boat", "violin", "snow"]
DOCUMENTS = [
    Document(f"{word}-{number}", f"{word} the path {number} of a file", word, {"kind": word})
    for word in WORDS
    for number in range(4)
]
MOST = max(LEAST_THREADS, available_cores())
QUERIES = [f"{word} the file {number}" for word in WORDS for number in range(4)]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.create(tmp_path_factory.mktemp("async") / "index", encoder=None) as index:
        index.add(DOCUMENTS)
        yield index


@pytest.fixture(scope="module")
def searcher(index: Index, tiny_reranker: Path) -> Searcher:
    return Searcher(index, CrossEncoderReranker(tiny_reranker, device="cpu"))


class Held:
    """A reranker that does not answer before it is released; it records what it is asked."""

    name = "held"

    def __init__(self) -> None:
        self.released = threading.Event()
        self.begun: list[str] = []
        self.running = self.most = 0
        self._lock = threading.Lock()

    def score(self, pairs):
        with self._lock:
            self.begun.append(pairs[0][0])
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.released.wait(120)
        with self._lock:
            self.running -= 1
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.released.set()


def timeless(response: SearchResponse) -> SearchResponse:
    return replace(response, timings={})


async def begun(held: Held, number: int) -> None:
    """Wait for a number of searches to reach the reranker, while the loop goes on."""
    while len(held.begun) < number:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"top_k": 2, "candidates": 3, "first_stage": "bm25"},
        {"filter": {"kind": "boat"}},
        {"rerank": False},
        {"budget_ms": 60_000},
    ],
)
def test_a_search_that_is_awaited_finds_the_same(searcher: Searcher, arguments):
    async def search() -> list[SearchResponse]:
        options = SearchOptions(**arguments)
        return [
            await searcher.asearch(QUERIES[0], **arguments),
            *await searcher.asearch_batch(iter(QUERIES[:2]), options),
        ]

    first, *batch = asyncio.run(search())
    assert timeless(first) == timeless(searcher.search(QUERIES[0], **arguments))
    expected = searcher.search_batch(QUERIES[:2], **arguments)
    assert [timeless(each) for each in batch] == [timeless(each) for each in expected]


def test_searches_at_the_same_time_find_what_they_find_one_by_one(searcher: Searcher):
    async def search() -> list[SearchResponse]:
        return await asyncio.gather(*[searcher.asearch(query) for query in QUERIES])

    found = [timeless(each) for each in asyncio.run(search())]
    assert len(found) == 32
    for response, query in zip(found, QUERIES, strict=True):
        expected = timeless(searcher.search(query))
        assert [hit.id for hit in response.hits] == [hit.id for hit in expected.hits]
        np.testing.assert_allclose(
            [hit.score for hit in response.hits], [hit.score for hit in expected.hits], atol=1e-4
        )


def test_the_loop_goes_on_while_a_search_runs(index: Index, held: Held):
    async def search() -> SearchResponse:
        task = asyncio.create_task(Searcher(index, held).asearch("join"))
        await begun(held, 1)  # the loop runs, and the search waits for what it does next
        held.released.set()
        return await task

    assert asyncio.run(search()).reranked


def test_a_bounded_number_of_searches_runs_at_a_time(index: Index, held: Held):
    searcher = Searcher(index, held)

    async def search() -> None:
        tasks = [asyncio.create_task(searcher.asearch(query)) for query in QUERIES * MOST]
        await begun(held, MOST)
        held.released.set()
        await asyncio.gather(*tasks)

    asyncio.run(search())
    assert len(held.begun) == 32 * MOST
    assert held.most == MOST


def test_a_cancelled_search_that_has_not_begun_is_not_run(index: Index, held: Held):
    searcher = Searcher(index, held)

    async def search() -> None:
        tasks = [asyncio.create_task(searcher.asearch(query)) for query in QUERIES[:1] * MOST]
        await begun(held, MOST)
        last = asyncio.create_task(searcher.asearch("snow storm"))
        await asyncio.sleep(0)
        last.cancel()
        with pytest.raises(asyncio.CancelledError):
            await last
        assert not held.released.is_set()
        held.released.set()
        await asyncio.gather(*tasks)

    asyncio.run(search())
    assert held.begun == QUERIES[:1] * MOST


def test_a_cancelled_search_that_has_begun_keeps_nobody_waiting(index: Index, held: Held):
    async def search() -> None:
        task = asyncio.create_task(Searcher(index, held).asearch("join"))
        await begun(held, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held.running == 1

    asyncio.run(search())
    held.released.set()


def test_one_searcher_works_in_one_loop_after_another(searcher: Searcher):
    first, *others = [asyncio.run(searcher.asearch(QUERIES[0])) for _ in range(3)]
    assert first.hits
    assert [timeless(each) for each in others] == [timeless(first)] * 2


def test_errors_are_those_of_a_search(index: Index, searcher: Searcher):
    class Failing:
        name = "failing"

        def score(self, pairs):
            raise ConnectionError("the service is down")

    for wrong in ({"top_k": 0}, {"first_stage": "dense"}, {"filter": {"$nor": 1}}):
        with pytest.raises(InvalidInputError):
            asyncio.run(searcher.asearch("join", **wrong))
    with pytest.raises(InvalidInputError, match="one string"):
        asyncio.run(searcher.asearch_batch("join"))
    with pytest.raises(TypeError, match="did you mean 'top_k'"):
        asyncio.run(searcher.asearch("join", topk=1))
    with pytest.raises(RerankError, match="the service is down"):
        asyncio.run(Searcher(index, Failing()).asearch("join"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(searcher: Searcher, in_child):
    asyncio.run(searcher.asearch("join", rerank=False))
    assert in_child(lambda: asyncio.run(searcher.asearch("join", rerank=False)).hits)
