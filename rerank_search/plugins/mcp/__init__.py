"""The indexes and rerankers of a service as tools for agents, by the Model Context Protocol."""

from rerank_search.errors import MissingDependencyError

try:
    import mcp.server.mcpserver  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        "this needs the package mcp, version 2.3 or later, which is missing or older: "
        'pip install "rerank-search[mcp]"'
    ) from error
