"""The MCP server, assembled from the tools and the resources."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import MCPServer

from rerank_search.errors import RerankSearchError
from rerank_search.plugins.mcp.access import may_write
from rerank_search.plugins.mcp.links import Links
from rerank_search.plugins.mcp.offer import Offer, ServiceOffer
from rerank_search.plugins.mcp.reading import ReadingTools
from rerank_search.plugins.mcp.resources import add_resources
from rerank_search.plugins.mcp.writing import WritingTools
from rerank_search.queries import check_instruction
from rerank_search.serving.service import Service
from rerank_search.shown import counted

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.mcpserver.tools import Tool

NAMED = 10
"""Number of indexes that descriptions of tools name."""

_SEARCHES = ("search", "search_passages")
"""The tools whose descriptions say what can be searched."""


def mcp_server(
    service: Service | Offer,
    *,
    write: bool = False,
    links: Links | None = None,
    about: str = "",
    instruction: str | None = None,
    lifespan: Callable[[MCPServer[Any]], AbstractAsyncContextManager[None]] | None = None,
) -> MCPServer[Any]:
    """A server of the Model Context Protocol for the indexes and rerankers of a service.

    This is a Service in this process, or a RemoteService for those of another server. It only
    reads, unless ``write``. ``links`` are how documents get their URLs. ``about`` says what the
    documents are about: models read it in the descriptions of the tools. ``instruction`` tells a
    reranker that takes one what makes a text relevant. ``lifespan`` is entered before the first
    request. The service is closed by whoever made it.

    Raises InvalidInputError for a blank instruction.
    """
    if instruction is not None:
        check_instruction(instruction)
    offer = ServiceOffer(service) if isinstance(service, Service) else service
    tools: list[Tool] = [*ReadingTools(offer, links or Links(), instruction).tools()]
    writing = [*WritingTools(offer).tools()] if write else []
    tools += writing
    server: MCPServer[Any] = MCPServer(
        "rerank-search",
        title="rerank-search",
        version=version("rerank-search"),
        instructions=_instructions(about),
        tools=tools,
        log_level="WARNING",
        lifespan=lifespan,
        subscriptions=False,
        middleware=[_Listing(offer, about, frozenset(each.name for each in writing))],
    )
    add_resources(server, offer)
    return server


def _instructions(about: str) -> str:
    subject = f" {about}" if about else ""
    return (
        f"Searches documents in two stages, the second with a cross-encoder.{subject} Ask in whole "
        "questions. Start with search_passages, or with search and then fetch. Cite the URLs."
    )


@dataclass(frozen=True, slots=True)
class _Listing:
    """Shows each caller the tools and the indexes that it may use."""

    offer: Offer
    about: str
    writing: frozenset[str]

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        result = await call_next(ctx)
        if ctx.method != "tools/list" or not isinstance(result, dict):
            return result
        try:
            there = await self.offer.threads.read_unless_cancelled(self._there)
        except RerankSearchError:  # the tools are there nevertheless
            there = self.about
        writes = may_write(ctx)
        tools = [
            {**tool, "description": f"{tool['description']} {there}".rstrip()}
            if tool["name"] in _SEARCHES
            else tool
            for tool in result["tools"]
            if writes or tool["name"] not in self.writing
        ]
        return {**result, "tools": tools}

    def _there(self) -> str:
        names = self.offer.names()
        sizes = self.offer.sizes(names[:NAMED])
        said = [_sized(name, sizes.get(name)) for name in names[:NAMED]]
        if more := len(names) - len(said):
            said.append(f"{more:,} more")
        about = f"{self.about} " if self.about else ""
        return f"{about}Indexes: {', '.join(said) or 'none yet'}."


def _sized(name: str, documents: int | None) -> str:
    if documents is None:
        return f"{name} (cannot be opened now)"
    return f"{name} ({counted(documents, 'document')})"
