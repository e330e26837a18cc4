from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client

from rerank_search.plugins.mcp.server import mcp_server

MODES = ("auto", "legacy")
READING = ["search", "fetch", "search_passages", "list_indexes", "rerank"]
WRITING = ["add_documents", "delete_documents"]


def inside(schema: Any) -> Iterator[dict[str, Any]]:
    """All mappings in a schema."""
    if isinstance(schema, dict):
        yield schema
    for each in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(each, dict | list):
            yield from inside(each)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("write", "names"), [(False, READING), (True, READING + WRITING)])
async def test_tools_that_write_exist_on_request(service, mode, write, names):
    async with Client(mcp_server(service, write=write), mode=mode) as client:
        listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == names
    for tool in listed.tools:
        hints = tool.annotations
        assert hints.read_only_hint is (tool.name in READING)
        assert hints.open_world_hint is False
        if tool.name in WRITING:
            assert hints.destructive_hint
            assert hints.idempotent_hint


@pytest.mark.parametrize("mode", MODES)
async def test_schemas_are_ones_that_every_host_takes(service, mode):
    async with Client(mcp_server(service, write=True), mode=mode) as client:
        listed = await client.list_tools()
    for tool in listed.tools:
        assert tool.title
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema["type"] == "object"
        for schema in (tool.input_schema, tool.output_schema):
            assert not [part for part in inside(schema) if "anyOf" in part or "oneOf" in part]
            assert not [part for part in inside(schema) if part.get("type") == "null"]
        # What a model has to know stands in the schema.
        for name, argument in tool.input_schema["properties"].items():
            assert argument.get("description") or name == "documents"


async def test_searches_say_what_can_be_searched(service):
    server = mcp_server(service, about="Notes of a programmer.")
    async with Client(server) as client:
        described = {tool.name: tool.description for tool in (await client.list_tools()).tools}
        assert "Notes of a programmer." in client.instructions
    there = "Notes of a programmer. Indexes: notes (3 documents), wiki (2 documents)."
    assert described["search"].endswith(there)
    assert described["search_passages"].endswith(there)
    assert "Indexes:" not in described["fetch"]


async def test_many_indexes_do_not_fill_a_description(serve):
    service = serve()
    for number in range(9):
        service.indexes.create(f"new-{number:02}", encoder=None, analyzer="plain")
    async with Client(mcp_server(service)) as client:
        description = (await client.list_tools()).tools[0].description
    assert "new-00 (0 documents)" in description
    assert description.endswith(", 1 more.")
    assert "wiki" not in description


async def test_an_index_that_cannot_be_opened_does_not_hide_the_others(serve, answer):
    service = serve()
    (service.indexes.home / "wiki" / "manifest.json").write_text("{")
    async with Client(mcp_server(service)) as client:
        description = (await client.list_tools()).tools[0].description
        assert "notes (3 documents), wiki (cannot be opened now)" in description
        listed = answer(await client.call_tool("list_indexes", {}))
        assert [each["name"] for each in listed["indexes"]] == ["notes"]
        assert list(listed["unavailable"]) == ["wiki"]
        found = answer(await client.call_tool("search_passages", {"query": "join two paths"}))
    assert found["hits"][0]["id"] == "notes/join"
    assert "the index 'wiki' was not searched" in found["warnings"][0]
    assert str(service.indexes.home) not in json.dumps([listed, found])


async def test_no_search_that_fails_looks_like_one_that_finds_nothing(serve, problem):
    service = serve()
    for name in ("notes", "wiki"):
        (service.indexes.home / name / "manifest.json").write_text("{")
    async with Client(mcp_server(service)) as client:
        for tool in ("search", "search_passages"):
            said = problem(await client.call_tool(tool, {"query": "two paths"}))
            assert str(service.indexes.home) not in said
            assert "wiki" in said


async def test_there_are_tools_before_there_is_an_index(tmp_path, reranker, answer):
    from rerank_search.serving.indexes import Indexes
    from rerank_search.serving.limits import Limits
    from rerank_search.serving.service import Service

    service = Service(Indexes(tmp_path / "none", {}, all_of_home=True), [reranker], Limits())
    async with Client(mcp_server(service)) as client:
        assert "none yet" in (await client.list_tools()).tools[0].description
        assert answer(await client.call_tool("search", {"query": "paths"})) == {"results": []}
        assert answer(await client.call_tool("list_indexes", {})) == {"indexes": []}
    service.close()
