"""MCP over HTTP, by clients of a real server with keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.plugins.mcp.links import resource_uri
from rerank_search.plugins.mcp.mounted import mcp_routes
from rerank_search.serving.keys import KeyFile, add_key
from rerank_search.serving.limits import Limits
from tests.plugins.mcp.conftest import make_home
from tests.serving.conftest import Running, running
from tests.waiting import until

Connect = Callable[..., AbstractAsyncContextManager[Client]]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A file of keys, and the secrets of a key for reading and of one for writing."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return {
        "file": path,
        "reader": add_key(path, "reader", "read"),
        "writer": add_key(path, "writer", "write"),
        "tenant": add_key(path, "tenant", "write", ["wiki"]),
    }


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    reranker: CrossEncoderReranker,
    secrets: dict[str, Any],
) -> Iterator[Running]:
    with running(
        make_home(tmp_path_factory.mktemp("home")),
        [reranker],
        limits=Limits(body_bytes=100_000),
        keys=KeyFile(secrets["file"]),
        further=[mcp_routes(write=True)],
    ) as found:
        yield found


@pytest.fixture(scope="module")
def connect(server: Running, secrets: dict[str, Any]) -> Connect:
    @asynccontextmanager
    async def opened(key: str, mode: str = "auto") -> Any:
        headers = {"Authorization": f"Bearer {secrets[key]}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client

    return opened


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_key_for_reading_finds_and_reads(connect, mode, answer):
    async with connect("reader", mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["search", "fetch", "search_passages", "list_indexes", "rerank"]
        found = answer(await client.call_tool("search", {"query": "join two paths"}))
        assert found["results"][0]["id"] == "notes/join"
        got = answer(await client.call_tool("fetch", {"id": "notes/join"}))
        assert got["text"] == "join two paths"
        [read] = (await client.read_resource(resource_uri("notes", "join"))).contents
        assert read.text == "Paths\n\njoin two paths"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_key_for_reading_writes_nothing(connect, mode, answer, problem):
    async with connect("reader", mode) as client:
        deleted = await client.call_tool("delete_documents", {"ids": ["notes/join"]})
        assert "the key 'reader' is for reading" in problem(deleted)
        new = {"index": "notes", "documents": [{"id": "x", "text": "y"}]}
        assert "for reading" in problem(await client.call_tool("add_documents", new))
        listed = answer(await client.call_tool("list_indexes", {}))["indexes"]
    assert listed[0]["documents"] == 3


async def test_a_key_for_writing_writes(connect, server, secrets, answer):
    async with connect("writer") as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names[-2:] == ["add_documents", "delete_documents"]
        new = {"index": "wiki", "documents": [{"id": "new", "text": "a violin song"}]}
        answer(await client.call_tool("add_documents", new))
        key = {"X-API-Key": secrets["reader"]}
        hits = server.post("/v1/search", {"index": "wiki", "query": "violin"}, **key).json()
        assert hits["results"][0]["hits"][0]["id"] == "new"
        assert answer(await client.call_tool("delete_documents", {"ids": ["wiki/new"]})) == {
            "deleted": 1
        }


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_key_for_some_indexes_sees_no_others(connect, mode, answer, problem):
    async with connect("tenant", mode) as client:
        tools = (await client.list_tools()).tools
        assert tools[0].description.endswith("Indexes: wiki (2 documents).")
        found = answer(await client.call_tool("search", {"query": "join two paths"}))
        assert [each["id"] for each in found["results"]] == ["wiki/paths"]
        listed = answer(await client.call_tool("list_indexes", {}))["indexes"]
        assert [each["name"] for each in listed] == ["wiki"]
        new = [{"id": "x", "text": "y"}]
        for tool, arguments in (
            ("fetch", {"id": "{}/join"}),
            ("search_passages", {"query": "x", "index": "{}"}),
            ("add_documents", {"index": "{}", "documents": new}),
            ("delete_documents", {"ids": ["{}/join"]}),
        ):
            said = []
            for name in ("notes", "unknown"):
                given = json.loads(json.dumps(arguments).replace("{}", name))
                refused = problem(await client.call_tool(tool, given))
                said.append(refused.replace(name, "NAME"))
            assert said[0] == said[1] == "there is no index 'NAME'; there are: wiki"
        with pytest.raises(MCPError, match="there is no index 'notes'; there are: wiki"):
            await client.read_resource(resource_uri("notes", "join"))


async def test_clients_of_two_tenants_at_the_same_time_see_their_own(connect, answer):
    async with connect("tenant") as one, connect("reader", "legacy") as other:
        calls = (client.call_tool("list_indexes", {}) for _ in range(8) for client in (one, other))
        names = [
            [each["name"] for each in answer(result)["indexes"]]
            for result in await asyncio.gather(*calls)
        ]
    assert names == [["wiki"], ["notes", "wiki"]] * 8


@pytest.mark.slow
async def test_clients_at_the_same_time_are_answered_as_one_by_one(connect, answer):
    queries = [f"{word} {number}" for number in range(8) for word in ("path", "oven", "a", "x")]

    async def ids(client: Client, query: str) -> list[str]:
        found = answer(await client.call_tool("search", {"query": query}))
        return [each["id"] for each in found["results"]]

    async with connect("reader") as client, connect("writer", "legacy") as other:
        alone = [await ids(client, query) for query in queries]
        both = [(client, other)[number % 2] for number in range(len(queries))]
        together = await asyncio.gather(*map(ids, both, queries))
    assert list(together) == alone


def test_without_a_key_nothing_is_answered(server):
    refused = server.client.post("/mcp", json=INITIALIZE, headers=ACCEPT)
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    wrong = server.client.post(
        "/mcp", json=INITIALIZE, headers={**ACCEPT, "Authorization": "Bearer rs_wrong"}
    )
    assert wrong.status_code == 401


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_there_are_no_sessions_to_listen_to_or_to_end(server, secrets, method):
    key = {"Authorization": f"Bearer {secrets['writer']}"}
    refused = server.client.request(method, "/mcp", headers={**ACCEPT, **key})
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[" * 50_000, {}, 400),
        (b'{"a":' * 15_000, {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 400),
        (b"\xff\xfe", {}, 400),
        (b" " * 100_001, {}, 413),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b"{}", {"Accept": "text/html"}, 406),
    ],
)
def test_requests_that_are_not_mcp_are_refused(server, secrets, content, headers, status):
    given = {
        **ACCEPT,
        "Content-Type": "application/json",
        "Authorization": f"Bearer {secrets['reader']}",
        **headers,
    }
    assert server.client.post("/mcp", content=content, headers=given).status_code == status


async def test_the_stages_of_a_search_are_measured(connect, server, secrets):
    async with connect("reader") as client:
        await client.call_tool("search", {"query": "join two paths"})
    key = {"Authorization": f"Bearer {secrets['reader']}"}
    metrics = server.client.get("/metrics", headers=key).text
    assert 'rerank_search_stage_seconds_count{stage="first_stage"}' in metrics


def test_requests_are_measured_and_logged_under_their_route(server, secrets, caplog):
    key = {"Authorization": f"Bearer {secrets['reader']}"}

    def lines() -> list[tuple[str, str, int]]:
        logged = [record.fields for record in caplog.records if hasattr(record, "fields")]
        return [(line["caller"], line["path"], line["status"]) for line in logged]

    with caplog.at_level("INFO", "rerank_search.serving"):
        answered = server.client.post("/mcp", json=INITIALIZE, headers={**ACCEPT, **key})
        until(lines)  # they are written after the answer is sent
    assert answered.status_code == 200
    assert answered.headers["X-Request-ID"]
    assert answered.headers["X-Content-Type-Options"] == "nosniff"
    assert lines() == [("reader", "/mcp", 200)]
    metrics = server.client.get("/metrics", headers=key).text
    assert 'method="POST",route="/mcp",status="200"' in metrics


def test_the_openapi_document_is_the_same(server):
    assert not [
        path for path in server.client.get("/openapi.json").json()["paths"] if "mcp" in path
    ]


@pytest.fixture
def mounted(tmp_path: Path, reranker: CrossEncoderReranker) -> Callable[..., Any]:
    """Starts a server without keys, which has MCP."""
    home = make_home(tmp_path)

    def start(**options: Any) -> Any:
        return running(home, [reranker], further=[mcp_routes(write=True)], **options)

    return start


async def test_without_keys_everybody_may_write(mounted, answer):
    with mounted() as server:
        async with Client(f"{server.url}/mcp") as client:
            assert answer(await client.call_tool("delete_documents", {"ids": ["notes/join"]}))


def test_a_server_of_this_machine_is_not_called_by_other_names(mounted):
    with mounted(hosts=frozenset({"127.0.0.1"})) as server:
        for host, status in (("evil.example", 403), ("127.0.0.1:80", 200)):
            answered = server.client.post("/mcp", json=INITIALIZE, headers={**ACCEPT, "Host": host})
            assert answered.status_code == status


def test_mcp_has_the_rate_of_the_server(mounted):
    with mounted(limits=Limits(requests_per_minute=2)) as server:
        statuses = [
            server.client.post("/mcp", json=INITIALIZE, headers=ACCEPT).status_code
            for _ in range(3)
        ]
    assert statuses == [200, 200, 429]


async def test_an_index_that_is_made_meanwhile_is_there(mounted, answer):
    with mounted() as server:
        async with Client(f"{server.url}/mcp") as client:
            with Index.create(server.home / "new", encoder=None) as index:
                index.add([Document("a", "a violin song")])
            assert "new (1 document)" in (await client.list_tools()).tools[0].description
            found = answer(await client.call_tool("search", {"query": "violin song"}))
            assert [each["id"] for each in found["results"]] == ["new/a"]


async def test_a_server_ends_while_clients_are_connected(mounted):
    with mounted() as server:
        async with Client(f"{server.url}/mcp") as client:
            await client.list_tools()
            server.end()
