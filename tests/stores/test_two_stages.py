"""A store in a Searcher: budgets, failures of either stage, and asyncio while the store waits."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
import pytest

from rerank_search import Document, RerankError, Searcher, StoreUnreachableError
from rerank_search.stores import Store, open_store

LETTERS = [Document("a", "a letter to the sea"), Document("b", "letters and letters")]
QUERY = "letters to the sea"


class Constant:
    name = "constant"

    def score(self, pairs):
        return np.ones(len(pairs), dtype=np.float32)


class Failing:
    name = "failing"

    def score(self, pairs):
        raise ZeroDivisionError


@pytest.fixture
def url(text_store: Callable[..., str]) -> str:
    return text_store(LETTERS)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        yield store


@pytest.fixture
def lock(url: str) -> Iterator[sqlite3.Connection]:
    """A connection with which the store can be locked: its calls wait until it is closed."""
    with closing(sqlite3.connect(url.removeprefix("fts5://"), isolation_level=None)) as other:
        yield other


def test_the_time_of_the_store_counts_for_the_budget(store: Store) -> None:
    searcher = Searcher(store, Constant())
    late = searcher.search(QUERY, budget_ms=1e-6)
    assert (len(late.hits), late.reranked) == (2, False)
    assert late.degraded == "no time was left to rerank within 1e-06 ms"
    assert searcher.search(QUERY, budget_ms=60_000).reranked


def test_a_reranker_that_fails_leaves_the_ranking_of_the_store(store: Store) -> None:
    expected = Searcher(store, None).search(QUERY).hits
    response = Searcher(store, Failing(), on_rerank_error="first_stage").search(QUERY)
    assert [hit.id for hit in response.hits] == [hit.id for hit in expected]
    assert response.degraded is not None
    with pytest.raises(RerankError):
        Searcher(store, Failing()).search(QUERY)


def test_a_store_that_fails_is_an_error_whatever_the_reranker_may_do(url: str, lock) -> None:
    with open_store(f"{url}?timeout=0.01") as store:
        searcher = Searcher(store, Constant(), on_rerank_error="first_stage")
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnreachableError, match="locked"):
            searcher.search(QUERY)
        lock.execute("ROLLBACK")
        assert searcher.search(QUERY).reranked


def test_the_event_loop_goes_on_while_a_store_waits(store: Store, lock) -> None:
    async def search() -> list[str]:
        lock.execute("BEGIN EXCLUSIVE")
        searching = asyncio.ensure_future(Searcher(store, Constant()).asearch(QUERY))
        abandoned = asyncio.ensure_future(Searcher(store, Constant()).asearch(QUERY))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not searching.done()
        abandoned.cancel()  # returns at once, although the store is still locked
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        lock.execute("ROLLBACK")
        return [hit.id for hit in (await searching).hits]

    assert asyncio.run(search()) == ["a", "b"]
