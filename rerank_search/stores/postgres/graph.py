"""Searches by an HNSW index, as many hits as are asked for."""

from __future__ import annotations

from rerank_search.errors import StoreMismatchError
from rerank_search.stores.postgres.connections import Connection

ITERATIVE_SCANS = (0, 8)
"""The version of pgvector from which an HNSW index finds as many vectors as are asked for."""

MOST_CANDIDATES = 1000
"""Most candidates that an HNSW search keeps."""


def check_iterative_scans(connection: Connection, store: str) -> None:
    """Raise StoreMismatchError for an older pgvector."""
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    [[version]] = connection.execute(query)
    if tuple(map(int, str(version).split(".")[:2])) < ITERATIVE_SCANS:
        raise StoreMismatchError(
            f"{store} has pgvector {version}, whose HNSW index may find fewer documents than asked "
            "for: upgrade it (ALTER EXTENSION vector UPDATE), or use search=exact"
        )


def graph_settings(k: int) -> dict[str, str]:
    """The settings with which an HNSW index finds k vectors if there are as many."""
    return {
        "hnsw.ef_search": str(min(MOST_CANDIDATES, max(100, 2 * k))),
        "hnsw.iterative_scan": "strict_order",
        "hnsw.max_scan_tuples": str(2**31 - 1),
    }
