from __future__ import annotations

import pytest
from mcp import Client, MCPError
from pydantic import AnyUrl

from rerank_search.plugins.mcp.links import resource_uri
from rerank_search.plugins.mcp.server import mcp_server
from tests.plugins.mcp.conftest import NOTES, WIKI


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_every_document_is_a_resource(service, mode):
    async with Client(mcp_server(service), mode=mode) as client:
        [template] = (await client.list_resource_templates()).resource_templates
        assert template.uri_template == "rerank-search://{index}/{id}"
        for index, documents in (("notes", NOTES), ("wiki", WIKI)):
            for each in documents:
                [read] = (await client.read_resource(resource_uri(index, each.id))).contents
                assert read.text.endswith(each.text)
                assert read.text.startswith(each.title)


def test_clients_that_normalise_urls_keep_them():
    for each in NOTES:
        uri = resource_uri("Notes", each.id)
        assert str(AnyUrl(uri)) == uri


async def test_an_unknown_resource_is_told(service):
    async with Client(mcp_server(service)) as client:
        for uri in ("rerank-search://notes/none", "rerank-search://none/join", "file:///etc"):
            with pytest.raises(MCPError) as told:
                await client.read_resource(uri)
            assert told.value.error.code == -32602
