"""Agents find, read and write documents of a store beside those of indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from rerank_search import Document
from rerank_search.plugins.mcp.server import mcp_server
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service

LETTERS = [Document("ann", "a letter about the boat", "To Ann", {"year": 1999})]


@pytest.fixture
def url(text_store: Callable[..., str]) -> str:
    return text_store(LETTERS)


@pytest.fixture
def service(home: Path, url: str, reranker: Any) -> Iterator[Service]:
    stores = {"letters": f"{url}?timeout=0.01&retries=0"}
    made = Service(Indexes(home, {}, all_of_home=True, stores=stores), [reranker], Limits())
    yield made
    made.close()


async def test_a_store_is_one_of_the_indexes(service: Service, answer: Any) -> None:
    async with Client(mcp_server(service, write=True)) as client:
        listed = answer(await client.call_tool("list_indexes", {}))["indexes"]
        [letters] = [each for each in listed if each["name"] == "letters"]
        assert (letters["documents"], letters["first_stages"]) == (1, ["bm25"])
        found = answer(await client.call_tool("search", {"query": "a letter about the boat"}))
        assert {"letters/ann", "wiki/paths"} <= {each["id"] for each in found["results"]}
        asked = {"query": "letter", "index": "letters", "filter": {"year": 1999}}
        [hit] = answer(await client.call_tool("search_passages", asked))["hits"]
        assert (hit["id"], hit["passage"]) == ("letters/ann", LETTERS[0].text)
        got = answer(await client.call_tool("fetch", {"id": "letters/ann"}))
        assert (got["title"], got["metadata"]) == ("To Ann", {"year": 1999})
        new = {"index": "letters", "documents": [{"id": "bob", "text": "a song"}]}
        assert answer(await client.call_tool("add_documents", new))["written"] == 1
        ids = {"ids": ["letters/bob", "letters/none"]}
        assert answer(await client.call_tool("delete_documents", ids)) == {"deleted": 1}


async def test_a_store_that_cannot_be_reached_is_named(
    service: Service, url: str, answer: Any
) -> None:
    async with Client(mcp_server(service)) as client:
        with closing(sqlite3.connect(url.removeprefix("fts5://"), isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            found = answer(await client.call_tool("search_passages", {"query": "a path"}))
            listed = answer(await client.call_tool("list_indexes", {}))
    assert found["hits"]
    assert found["warnings"] == [
        "the index 'letters' was not searched: the store cannot be reached: try again"
    ]
    assert listed["unavailable"].keys() == {"letters"}
