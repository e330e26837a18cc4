"""The tools over the indexes of another server, compared with those of a service of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from rerank_search import IndexNotFoundError, InvalidInputError
from rerank_search.plugins.mcp import RemoteService, mcp_server
from rerank_search.serving.errors import ApiError
from rerank_search.serving.keys import KeyFile, add_key
from tests.client.conftest import Served, served
from tests.plugins.mcp.conftest import make_home


@pytest.fixture(scope="module")
def running(home, reranker) -> Iterator[Served]:
    with served(home, [reranker]) as server:
        yield server


@pytest.fixture(scope="module")
def remote(running) -> Iterator[RemoteService]:
    service = RemoteService(running.url)
    yield service
    service.close()


async def call(service: Any, tool: str, **arguments: Any) -> Any:
    async with Client(mcp_server(service, write=True)) as client:
        return await client.call_tool(tool, arguments)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {"query": "two paths"}),
        ("search", {"query": " "}),
        ("search_passages", {"query": "path", "index": "notes", "top_k": 2}),
        ("search_passages", {"query": "path", "filter": {"module": "os"}, "neighbourhood": 0}),
        ("search_passages", {"query": "path", "filter": {"modul": "os"}, "index": "notes"}),
        ("search_passages", {"query": "path", "rerank": False}),
        ("search_passages", {"query": "two paths", "tokens": 100}),
        ("fetch", {"id": "wiki/.."}),
        ("fetch", {"id": "notes/join"}),
        ("list_indexes", {}),
        ("rerank", {"query": "bread", "texts": ["a path", "bread", ""]}),
        ("rerank", {"query": "bread", "texts": ["a path", "bread"], "top_n": 1}),
        ("rerank", {"query": "bread", "texts": []}),
    ],
)
async def test_answers_are_those_of_the_servers_own_service(
    service, remote, answer, tool, arguments
):
    expected = answer(await call(service, tool, **arguments))
    found = answer(await call(remote, tool, **arguments))
    for one, other in zip(expected.get("hits", []), found.get("hits", []), strict=True):
        for score in ("score", "relevance"):
            assert other.pop(score, None) == pytest.approx(one.pop(score, None))
    for one, other in zip(expected.get("results", []), found.get("results", []), strict=True):
        assert other.pop("relevance", None) == pytest.approx(one.pop("relevance", None))
    assert found == expected


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("search_passages", {"query": "path", "index": "other"}, "'other'"),
        ("search_passages", {"query": "path", "filter": {"a": {"$like": "b"}}}, "like"),
        ("search_passages", {"query": "path", "first_stage": "dense"}, "dense"),
        ("search_passages", {"query": "path", "rerank": False, "budget_ms": 5}, "exclude"),
        ("fetch", {"id": "notes/nothing"}, "there is no document 'notes/nothing'"),
        ("fetch", {"id": "nothing"}, "INDEX/ID"),
        ("rerank", {"query": " ", "texts": ["a"]}, "blank"),
        ("delete_documents", {"ids": ["notes/join", "other/a"]}, "no index 'other'"),
    ],
)
async def test_errors_say_what_to_do(remote, problem, tool, arguments, message):
    assert message in problem(await call(remote, tool, **arguments))


async def test_documents_are_written_and_deleted(tmp_path: Path, reranker, answer):
    with served(make_home(tmp_path), [reranker]) as server:
        remote = RemoteService(f"{server.url}/v1/indexes/wiki")
        new = {"id": "violin", "text": "a violin is played", "title": "Violin"}
        wrote = answer(await call(remote, "add_documents", index="wiki", documents=[new]))
        assert wrote == {"written": 1, "ids": ["wiki/violin"]}
        assert answer(await call(remote, "fetch", id="wiki/violin"))["text"] == new["text"]
        deleted = answer(await call(remote, "delete_documents", ids=["wiki/violin", "wiki/x"]))
        assert deleted == {"deleted": 1}
        remote.close()


async def test_only_the_indexes_that_urls_name_are_there(running, answer, problem):
    remote = RemoteService(f"{running.url}/v1/indexes/wiki")
    remote.check()
    assert remote.names() == ["wiki"]
    found = answer(await call(remote, "search", query="a path"))["results"]
    assert {each["id"].partition("/")[0] for each in found} == {"wiki"}
    for tool, arguments in (
        ("fetch", {"id": "notes/join"}),
        ("search_passages", {"query": "path", "index": "notes"}),
        ("add_documents", {"index": "notes", "documents": []}),
    ):
        assert "no index 'notes'; there are: wiki" in problem(await call(remote, tool, **arguments))
    async with Client(mcp_server(remote)) as client:
        tools = {each.name: each for each in (await client.list_tools()).tools}
        assert "Indexes: wiki (2 documents)." in tools["search"].description
        [content] = (await client.read_resource("rerank-search://wiki/paths")).contents
        assert content.text == "a path joins two villages"
    remote.close()
    missing = RemoteService(f"{running.url}/v1/indexes/none")
    with closing(missing), pytest.raises(IndexNotFoundError, match="'none'; there are: none"):
        missing.check()


async def test_the_key_is_that_of_the_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer, problem
):
    secret = add_key(tmp_path / "keys.json", "reader", "read", ["notes"])
    with served(home, [], keys=KeyFile(tmp_path / "keys.json")) as server:
        with closing(RemoteService(server.url)) as without:
            with pytest.raises(ApiError, match="unauthorized"):
                without.check()
            assert "unauthorized" in problem(await call(without, "search", query="path"))
        monkeypatch.setenv("RERANK_SEARCH_API_KEY", secret)
        with closing(RemoteService(server.url)) as remote:
            assert remote.names() == ["notes"]
            told = problem(await call(remote, "delete_documents", ids=["notes/join"]))
            assert "forbidden" in told
            assert secret not in told + repr(remote)


async def test_a_server_that_is_down_or_silent_is_told(problem):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for url, timeout, said in (
            ("http://127.0.0.1:9", 5.0, "`rerank-search serve` runs there"),
            (f"http://127.0.0.1:{port}", 0.05, "no answer within 0.05 s"),
        ):
            with closing(RemoteService(url, timeout=timeout, retries=0)) as remote:
                assert said in problem(await call(remote, "search", query="path"))
                async with Client(mcp_server(remote)) as client:
                    assert (await client.list_tools()).tools
                with pytest.raises(ApiError, match=said):
                    remote.check()


def test_urls_of_several_servers_are_refused():
    with pytest.raises(InvalidInputError, match="not on one server"):
        RemoteService("http://a.example/v1/indexes/x", "http://b.example/v1/indexes/x")
    with pytest.raises(InvalidInputError, match="not on one server"):
        RemoteService()
    with pytest.raises(InvalidInputError, match="HOST:PORT"):
        RemoteService("ftp://a.example")
