from __future__ import annotations

import pytest
from mcp import Client

from rerank_search.plugins.mcp.server import mcp_server
from rerank_search.serving.limits import Limits


async def test_a_document_is_found_until_it_is_deleted(serve, answer):
    async with Client(mcp_server(serve(), write=True)) as client:
        new = {"id": "é/1", "text": "a violin song", "title": "Music", "metadata": {"year": 2}}
        written = answer(
            await client.call_tool("add_documents", {"index": "wiki", "documents": [new]})
        )
        assert written == {"written": 1, "ids": ["wiki/é/1"]}
        found = answer(await client.call_tool("search", {"query": "violin song"}))
        assert [each["id"] for each in found["results"]] == ["wiki/é/1"]
        got = answer(await client.call_tool("fetch", {"id": "wiki/é/1"}))
        assert (got["text"], got["metadata"]) == ("a violin song", {"year": 2})
        ids = {"ids": ["wiki/é/1", "wiki/none", "notes/join"]}
        assert answer(await client.call_tool("delete_documents", ids)) == {"deleted": 2}
        assert answer(await client.call_tool("search", {"query": "violin song"})) == {"results": []}


async def test_a_document_with_the_same_id_is_replaced(serve, answer):
    async with Client(mcp_server(serve(), write=True)) as client:
        for text in ("a violin song", "a green boat"):
            new = {"index": "notes", "documents": [{"id": "join", "text": text}]}
            answer(await client.call_tool("add_documents", new))
        got = answer(await client.call_tool("fetch", {"id": "notes/join"}))
        again = answer(await client.call_tool("add_documents", new))
    assert got["text"] == "a green boat"
    assert again["written"] == 0


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("add_documents", {"index": "none", "documents": []}, "there are: notes, wiki"),
        (
            "add_documents",
            {"index": "wiki", "documents": [{"id": "", "text": "x"}]},
            "documents.0.id: ",
        ),
        (
            "add_documents",
            {"index": "wiki", "documents": [{"id": "a", "text": "x", "meta": {}}]},
            "documents.0.meta: ",
        ),
        (
            "add_documents",
            {"index": "wiki", "documents": [{"id": "a", "text": "x" * 101}]},
            "100 are allowed: split it",
        ),
        ("delete_documents", {"ids": ["join"]}, "INDEX/ID"),
        ("delete_documents", {"ids": ["notes/join", "none/a"]}, "there is no index 'none'"),
    ],
)
async def test_what_cannot_be_written_is_told(serve, answer, problem, tool, arguments, message):
    service = serve(limits=Limits(document_characters=100))
    async with Client(mcp_server(service, write=True)) as client:
        assert message in problem(await client.call_tool(tool, arguments))
        listed = answer(await client.call_tool("list_indexes", {}))["indexes"]
    assert [each["documents"] for each in listed] == [3, 2]


async def test_without_write_the_tools_do_not_exist(service, problem):
    async with Client(mcp_server(service)) as client:
        for name in ("add_documents", "delete_documents"):
            assert "Unknown tool" in problem(await client.call_tool(name, {"ids": ["notes/join"]}))
