"""The MCP server as a route of the HTTP server, behind the same keys, limits and log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from mcp.server.transport_security import (
    DEFAULT_MAX_REQUEST_BODY_SIZE,
    TransportSecuritySettings,
)

from rerank_search.plugins.mcp.links import Links
from rerank_search.plugins.mcp.server import mcp_server
from rerank_search.serving.app import Routes
from rerank_search.serving.route_table import Facts, declared
from rerank_search.serving.service import Service

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.types import Receive, Scope, Send

PATH = "/mcp"


def mcp_routes(
    *,
    write: bool = False,
    links: Links | None = None,
    about: str = "",
    instruction: str | None = None,
) -> Routes:
    """The route of MCP over streamable HTTP, for ``create_app``; the arguments of ``mcp_server``.

    Requests stand for themselves, without sessions: any process may answer the next one, and none
    ends with a process. Tools that write need a key for writing.
    """

    def make(service: Service) -> APIRouter:
        server = mcp_server(service, write=write, links=links, about=about, instruction=instruction)
        server.streamable_http_app(
            stateless_http=True,
            # A body is parsed in the event loop.
            max_request_body_size=min(service.limits.body_bytes, DEFAULT_MAX_REQUEST_BODY_SIZE),
            # The server's own gate has checked the host.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        sessions = server.session_manager

        @asynccontextmanager
        async def lifespan(_: Any) -> AsyncIterator[None]:
            async with sessions.run():
                yield

        router = APIRouter(lifespan=lifespan)

        # Only POST: without sessions there is nothing to listen to with GET, or to DELETE.
        @router.post(PATH, include_in_schema=False)
        @declared(Facts(reads=True))
        async def call(request: Request) -> Response:
            return _Handled(sessions)

        return router

    return make


class _Handled(Response):
    """A response that the MCP server sends itself."""

    def __init__(self, sessions: StreamableHTTPSessionManager) -> None:
        super().__init__()
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._sessions.handle_request(scope, receive, send)
