"""Exact search by FAISS over rows of vectors, float32 or float16."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.vector_files import Dtype, Vectors

if TYPE_CHECKING:
    import faiss

Scored = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Scores, descending, and rows; both of shape (queries, n)."""


def flat_index(dimension: int, dtype: Dtype, rows: Sequence[Vectors]) -> faiss.IndexFlatCodes:
    """An exact index of inner products; the rows are copied once, without conversion.

    float16 rows stay 2 bytes a number (FAISS's QT_fp16) and are widened in the processor's
    registers, so that sums are float32 in both cases.
    """
    import faiss

    if dtype == "float16":
        index = faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
    else:
        index = faiss.IndexFlatIP(dimension)
    for some in rows:
        index.add_sa_codes(np.ascontiguousarray(some).view(np.uint8))
    return index


def rows_between(vectors: Sequence[Vectors], start: int, end: int) -> Iterator[Vectors]:
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
