"""The vectors of one published state in memory: exact search, graph search, cosines of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.base import PassageScores
from rerank_search.retrieval.ties import EMPTY, complete, levelled
from rerank_search.retrieval.vector_codes import Rows
from rerank_search.retrieval.vector_files import Published, VectorFiles
from rerank_search.retrieval.vector_flat import (
    Scored,
    flat_index,
    flat_search,
    rows_between,
    selector,
)
from rerank_search.retrieval.vector_graph import read_graph

if TYPE_CHECKING:
    import faiss

SMALLEST_TAIL = 1000
"""Rows that may always be kept beside the main vectors; above it, at most an eighth of those."""

BREADTH = 256
"""Fewest candidates that a graph search keeps (efSearch); it keeps twice the wanted number if that
is more."""


@dataclass(frozen=True)
class VectorSnapshot:
    """Rows as of one publish. It never changes, so threads search it without a lock.

    The first rows are in ``main`` (FAISS, flat), with a graph over exactly these if there is one.
    Rows added since are in ``tail``, so that a small addition copies little.
    """

    published: Published
    ids: NDArray[np.int64]
    order: NDArray[np.int64]
    """Rows in ascending order of ids."""
    alive: NDArray[np.bool_] | None
    """Mask of the rows that are not removed; None means all."""
    main: faiss.IndexFlatCodes
    graph: faiss.IndexHNSW | None
    tail: faiss.IndexFlatCodes

    @property
    def count(self) -> int:
        """The number of rows that are not removed."""
        return len(self.ids) if self.alive is None else int(self.alive.sum())

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each id, -1 for an unknown one; removed passages still have a row."""
        if not len(self.ids):
            return np.full(len(ids), -1)
        place = np.searchsorted(self.ids, ids, sorter=self.order)
        rows = self.order[np.minimum(place, len(self.ids) - 1)]
        return np.where(self.ids[rows] == ids, rows, -1)

    def search(
        self, vectors: NDArray[np.float32], k: int, allowed: NDArray[np.int64] | None
    ) -> list[PassageScores]:
        """The best k allowed rows of each query with all ties of the last.

        Exact, except for a search of all rows if there is a graph.
        """
        selected = self._selected(allowed)
        total = len(self.ids) if selected is None else int(selected.sum())
        if not total:
            return [EMPTY for _ in vectors]
        k = min(k, total)
        limit = min(k + 1, total)
        approximate = self.graph is not None and allowed is None

        def nearest(queries: NDArray[np.float32], limit: int) -> Scored:
            return self._nearest(queries, limit, selected, approximate)

        scores, rows = nearest(vectors, limit)
        results = []
        for query in range(len(vectors)):
            best = levelled(self.ids[rows[query]], scores[query], k, exhausted=limit == total)
            if best is None:
                single = vectors[query : query + 1]

                def more(limit: int, single: NDArray[np.float32] = single) -> Any:
                    limit = min(limit, total)
                    scores, rows = nearest(single, limit)
                    return self.ids[rows[0]], scores[0], limit == total

                best = complete(more, k, 4 * limit)
            results.append(best)
        return results

    def similarities(
        self, vector: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Cosines of ``vector``, shape (d,), and the vectors of ``ids``; 0 for unknown ids."""
        rows = self.rows_of(ids)
        result = np.zeros(len(ids), dtype=np.float32)
        for part, start in ((self.main, 0), (self.tail, self.main.ntotal)):
            here = (rows >= start) & (rows < start + part.ntotal)
            if here.any():
                result[here] = part.reconstruct_batch(rows[here] - start) @ vector
        return result

    def _selected(self, allowed: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
        if allowed is None:
            return self.alive
        selected = np.zeros(len(self.ids), dtype=np.bool_)
        rows = self.rows_of(allowed)
        selected[rows[rows >= 0]] = True
        return selected if self.alive is None else selected & self.alive

    def _nearest(
        self,
        queries: NDArray[np.float32],
        limit: int,
        selected: NDArray[np.bool_] | None,
        approximate: bool,
    ) -> Scored:
        """The best ``limit`` rows; at least as many must be selected."""
        split = self.main.ntotal
        scores, rows = self._nearest_of_main(
            queries, limit, None if selected is None else selected[:split], approximate
        )
        if not self.tail.ntotal:
            return scores, rows
        late = None if selected is None else selected[split:]
        more_scores, more_rows = flat_search(self.tail, queries, limit, late)
        scores = np.hstack([scores, more_scores])
        rows = np.hstack([rows, more_rows + split])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :limit]
        return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def _nearest_of_main(
        self,
        queries: NDArray[np.float32],
        limit: int,
        selected: NDArray[np.bool_] | None,
        approximate: bool,
    ) -> Scored:
        import faiss

        breadth = max(BREADTH, 2 * limit)
        # A deep search visits most of the graph: then reading all vectors in order is faster.
        if self.graph is not None and approximate and 10 * breadth < self.main.ntotal:
            sel = None if selected is None else selector(selected)
            scores, rows = self.graph.search(
                queries, limit, params=faiss.SearchParametersHNSW(efSearch=breadth, sel=sel)
            )
            if (rows >= 0).all():
                return scores, rows
        return flat_search(self.main, queries, limit, selected)


def load_snapshot(
    files: VectorFiles, published: Published, previous: VectorSnapshot | None
) -> VectorSnapshot:
    """The published vectors; unchanged ones are shared with ``previous``.

    Raises FileNotFoundError if the publisher has replaced a file meanwhile, IndexCorruptedError for
    a damaged one.
    """
    segments = files.segments(published)
    ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in segments)])
    vectors = [rows for _, rows in segments]
    if previous is not None and _shares_main(previous, published):
        main, graph = previous.main, previous.graph
    else:
        main = _flat(published, vectors, 0, published.graph_rows or len(ids))
        graph = read_graph(files, published, main)
    tail = _flat(published, vectors, main.ntotal, len(ids))
    removed = files.removed(published)
    return VectorSnapshot(
        published,
        ids,
        np.argsort(ids, kind="stable"),
        ~np.isin(ids, removed) if len(removed) else None,
        main,
        graph,
        tail,
    )


def _flat(published: Published, vectors: list[Rows], start: int, end: int) -> faiss.IndexFlatCodes:
    dimension = published.dimension or 1  # unknown until something is stored
    return flat_index(dimension, published.dtype, list(rows_between(vectors, start, end)))


def _shares_main(previous: VectorSnapshot, published: Published) -> bool:
    if previous.published.generation != published.generation:
        return False
    if previous.published.graph != published.graph:
        return False
    main: int = previous.main.ntotal
    small = published.rows - main <= max(SMALLEST_TAIL, main // 8)
    return main > 0 and (small or published.graph is not None)
