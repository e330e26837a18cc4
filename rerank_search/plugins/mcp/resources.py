"""Documents as resources, which people attach to a conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.mcpserver import MCPServer, ResourceSecurity
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from rerank_search.errors import RerankSearchError
from rerank_search.plugins.mcp import catalog
from rerank_search.plugins.mcp.links import URI_TEMPLATE, public_id
from rerank_search.plugins.mcp.offer import Offer
from rerank_search.serving.errors import reported


def add_resources(server: MCPServer[Any], offer: Offer) -> None:
    """Have the server give each document under its URI."""
    # An id may look like a path; it only names a document.
    any_text = ResourceSecurity(exempt_params={"index", "id"})
    server.resource(
        URI_TEMPLATE,
        name="document",
        title="A document",
        description="A document of an index: its title, an empty line, and its text.",
        mime_type="text/plain",
        security=any_text,
    )(_reader(offer))


def _reader(offer: Offer) -> Callable[..., Awaitable[str]]:
    async def document(index: str, id: str) -> str:
        public = public_id(index, id)
        try:
            _, found = await offer.threads.read_unless_cancelled(
                lambda: catalog.document(offer, public)
            )
        except RerankSearchError as error:
            known = reported(error, f"reading {public}")
            kind = ResourceNotFoundError if known.status == 404 else ResourceError
            raise kind(str(known)) from error
        return f"{found.title}\n\n{found.text}" if found.title else found.text

    return document
