"""The indexes and rerankers of a service as tools for agents, by the Model Context Protocol."""

from rerank_search.errors import MissingDependencyError

try:
    import mcp.server.mcpserver  # noqa: F401 (a name that older versions lack)
except ImportError as error:
    raise MissingDependencyError(
        "MCP needs the package mcp in version 2.3 or later, which is missing or too old here: "
        'pip install "rerank-search[mcp]"'
    ) from error

from rerank_search.plugins.mcp.links import Links
from rerank_search.plugins.mcp.mounted import mcp_routes
from rerank_search.plugins.mcp.remote_service import RemoteService
from rerank_search.plugins.mcp.server import mcp_server

__all__ = ["Links", "RemoteService", "mcp_routes", "mcp_server"]
