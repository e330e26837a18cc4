"""The vectors that documents and queries bring with them, in place of an encoder's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import IndexCorruptedError, InvalidInputError
from rerank_search.retrieval.base import Passage
from rerank_search.shown import shown
from rerank_search.vectors import EncodedQuery


class GivenVectors:
    """The user's own vectors, of ``dimension`` numbers, made to have length 1."""

    name = "of the user"

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension

    def of_queries(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries, shape (queries, dimension).

        Raises InvalidInputError for a query without one, and for one of another length.
        """
        vectors = []
        for query in queries:
            if not isinstance(query, EncodedQuery):
                raise InvalidInputError(
                    f"the query {shown(query)} has no vector, and the index has vectors of your "
                    "own: give query_vector, or EncodedQuery(text, vector) among several queries. "
                    'first_stage="bm25" without a reranker, or with fusion=None, needs none'
                )
            if len(query.vector) != self.dimension:
                raise InvalidInputError(
                    f"the vector of the query {shown(str(query))} has {len(query.vector)} numbers, "
                    f"and those of the index have {self.dimension}: give vectors of one model"
                )
            vectors.append(query.vector)
        return with_length_1(np.array(vectors, np.float64).reshape(-1, self.dimension))

    def of_passages(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors of passages, shape (passages, dimension). Raises IndexCorruptedError."""
        vectors = [each.vector for each in passages if each.vector is not None]
        if len(vectors) != len(passages) or any(len(row) != self.dimension for row in vectors):
            raise IndexCorruptedError(
                f"documents.sqlite has documents without a vector of {self.dimension} numbers: "
                "`rerank-search index verify` names them"
            )
        return with_length_1(np.stack(vectors))


def with_length_1(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """The vectors divided by their lengths; in float64, where no square is too small or large."""
    exact = vectors.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    divided: NDArray[np.float32] = (exact / lengths).astype(np.float32)
    return divided
