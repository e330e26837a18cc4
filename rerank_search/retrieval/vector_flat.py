"""Exact search by FAISS over stored vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.vector_codes import Rows, empty_index
from rerank_search.types import VectorDtype

if TYPE_CHECKING:
    import faiss

Scored = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores, descending, and rows; both of shape (queries, n)."""


def flat_index(dimension: int, dtype: VectorDtype, rows: Sequence[Rows]) -> faiss.IndexFlatCodes:
    """An exact index of inner products; the rows are copied once, without conversion.

    float16 and int8 rows stay as small as they are, and are widened in the processor's registers,
    so that sums are float32 in all cases.
    """
    index = empty_index(dimension, dtype)
    for some in rows:
        index.add_sa_codes(np.ascontiguousarray(some).view(np.uint8))
    return index


def rows_between(vectors: Sequence[Rows], start: int, end: int) -> Iterator[Rows]:
    """The rows from ``start`` to ``end`` of the arrays, counted through all of them."""
    above = 0
    for rows in vectors:
        some = rows[max(start - above, 0) : max(end - above, 0)]
        if len(some):
            yield some
        above += len(rows)


def flat_search(
    index: faiss.IndexFlatCodes,
    queries: NDArray[np.float32],
    limit: int,
    selected: NDArray[np.bool_] | None,
) -> Scored:
    """The best ``limit`` of the selected rows; missing rows are -1."""
    import faiss

    params = None if selected is None else faiss.SearchParameters(sel=selector(selected))
    scores, rows = index.search(queries, min(limit, index.ntotal), params=params)
    return scores, rows


def selector(selected: NDArray[np.bool_]) -> Any:
    """FAISS's form of a selection of rows."""
    import faiss

    return faiss.IDSelectorBitmap(np.packbits(selected, bitorder="little"))
