"""The HNSW graph over the first rows of a large index (Malkov and Yashunin, arXiv 1603.09320)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rerank_search.files import synced_file
from rerank_search.retrieval.state import damaged, reading
from rerank_search.retrieval.vector_codes import widened
from rerank_search.retrieval.vector_files import Published, VectorFiles
from rerank_search.retrieval.vector_flat import flat_index, rows_between

if TYPE_CHECKING:
    import faiss

NEIGHBOURS = 32
"""Links of a node (M)."""

ADDED_AT_ONCE = 10_000
"""Rows converted to float32 at a time while the graph grows."""

UNLINKED_SHARE = 4
"""Divisor of the rows in the graph: it is extended if more rows than 1/4 of them are outside."""


def graph_is_due(published: Published, hnsw_above: int) -> bool:
    """Whether enough rows are outside the graph to build or extend it."""
    outside = published.rows - published.graph_rows
    return published.rows > hnsw_above and outside > published.graph_rows // UNLINKED_SHARE


def build_graph(files: VectorFiles, published: Published) -> Published:
    """``published`` with a graph over all its rows, written but not yet published.

    An existing graph is extended. The vectors are not written again.
    """
    import faiss

    dimension = published.dimension
    if dimension is None:
        return published
    vectors = [rows for _, rows in files.segments(published)]
    covered = published.graph_rows
    storage = flat_index(dimension, published.dtype, list(rows_between(vectors, 0, covered)))
    graph = read_graph(files, published, storage)
    if graph is None:
        graph = faiss.IndexHNSW(storage, NEIGHBOURS)
    for rows in rows_between(vectors, covered, published.rows):
        for start in range(0, len(rows), ADDED_AT_ONCE):
            graph.add(widened(rows[start : start + ADDED_AT_ONCE], published.dtype))
    name = f"graph-{published.next_number}.faiss"
    data = faiss.serialize_index(graph, faiss.IO_FLAG_SKIP_STORAGE)
    with synced_file(files.directory / name) as file:
        file.write(data.data)
    return replace(
        published,
        graph=name,
        graph_rows=published.rows,
        next_number=published.next_number + 1,
    )


def read_graph(
    files: VectorFiles, published: Published, storage: faiss.IndexFlatCodes
) -> faiss.IndexHNSW | None:
    """The published graph over the rows in ``storage``, which the caller keeps alive."""
    import faiss

    if published.graph is None:
        return None
    path = files.directory / published.graph
    with reading(path):
        graph = faiss.deserialize_index(np.fromfile(path, dtype=np.uint8))
    if not isinstance(graph, faiss.IndexHNSW) or graph.ntotal != published.graph_rows:
        raise damaged(path, f"it is not a graph of {published.graph_rows} vectors")
    graph.storage = storage
    graph.own_fields = False
    return graph
