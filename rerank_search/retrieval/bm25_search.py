"""Searches of the postings: how many passages to fetch, and how to keep to those allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank_search.retrieval.analysis import QueryTerms
from rerank_search.retrieval.base import PassageScores
from rerank_search.retrieval.ties import EMPTY, complete

if TYPE_CHECKING:
    import tantivy

MANY_WORDS = 256
"""Words of a query above which repeated ones are searched once, with their number as a weight.

That is ten times as fast for 1,000 words, and rounds scores otherwise in their last bits; so a
query of fewer words keeps the scores that it had before.
"""

PRICE_OF_AN_ID = 10
"""Matches that can be fetched and checked in the time in which tantivy finds one id."""

PASSAGES_PER_MATCH = 6
"""Passages of the index for each match that can be fetched in the time for a set of ids."""

Fetched = tuple[NDArray[np.int64], NDArray[np.float32], bool]


class Bm25Search:
    """The best k passages among ``allowed`` (sorted ids; None: all), for the queries of one call.

    tantivy knows nothing of an allowed set. Matches are fetched until enough of them are allowed;
    where that needs many of them, tantivy gets the ids of the allowed.
    """

    def __init__(
        self,
        searcher: tantivy.Searcher,
        schema: tantivy.Schema,
        k: int,
        allowed: NDArray[np.int64] | None,
    ) -> None:
        self._searcher = searcher
        self._schema = schema
        self._k = k
        # tantivy-py 0.27 scores all passages with a word of the query, however few are wanted. So
        # a second search costs as much as the first, and to fetch some more with that, little.
        self._enough = (k + 1) * 3 // 2 + 5
        self._allowed = None if allowed is None else _Allowed(searcher, schema, allowed)

    def frequency(self, term: str) -> int:
        """The number of passages that have the term."""
        return int(self._searcher.doc_freq("text", term))

    def best(self, query: QueryTerms) -> PassageScores:
        """The best k passages with any of the terms, and all ties of the last."""
        if not query:
            return EMPTY
        matching, allowed = self._matching(query), self._allowed
        if allowed is None:
            return complete(lambda limit: self._all(matching, limit), self._k, self._enough)
        return complete(lambda limit: self._of(matching, allowed, limit), self._k, self._enough)

    def _matching(self, query: QueryTerms) -> tantivy.Query:
        import tantivy

        weighted: Mapping[str, float] = query.weighted
        if len(query.terms) <= MANY_WORDS:
            found = [self._having(term) for term in query.terms]
        else:
            found, weighted = [], {**Counter(query.terms), **weighted}
        for term, weight in weighted.items():
            found.append(tantivy.Query.boost_query(self._having(term), weight))
        if len(found) == 1:
            return found[0]
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, each) for each in found])

    def _having(self, term: str) -> tantivy.Query:
        import tantivy

        return tantivy.Query.term_query(self._schema, "text", term, "freq")

    def _all(self, query: tantivy.Query, limit: int) -> Fetched:
        ids, scores = fetched(self._searcher, query, min(limit, self._searcher.num_docs))
        return ids, scores, len(ids) < limit

    def _of(self, matching: tantivy.Query, allowed: _Allowed, limit: int) -> Fetched:
        """Matches that are allowed: probably as many as ``limit``, or all there are."""
        matches = limit * allowed.passages_per_id
        if matches > allowed.price:
            return self._all(allowed.alone(matching), limit)
        ids, scores, exhausted = self._all(allowed.near(matching), matches)
        keep = allowed.has(ids)
        return ids[keep], scores[keep], exhausted


class _Allowed:
    """The ids of a filter as a part of tantivy's queries."""

    def __init__(
        self, searcher: tantivy.Searcher, schema: tantivy.Schema, ids: NDArray[np.int64]
    ) -> None:
        self._schema = schema
        self._ids = ids
        span = int(ids[-1]) - int(ids[0]) + 1
        total = searcher.num_docs
        self._in_a_row = 2 * span < total
        self.passages_per_id = max(1, min(span, total) // len(ids))
        singly, as_a_set = PRICE_OF_AN_ID * len(ids), total // PASSAGES_PER_MATCH + len(ids)
        self._singly = singly < as_a_set
        self.price = min(singly, as_a_set)

    def has(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the ids are allowed."""
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.equal(self._ids[places], ids)

    def near(self, matching: tantivy.Query) -> tantivy.Query:
        """The query among passages with ids in the range of the allowed, if it is narrow."""
        return _both(matching, self._range) if self._in_a_row else matching

    def alone(self, matching: tantivy.Query) -> tantivy.Query:
        """The query among allowed passages only."""
        return _both(matching, self._exactly)

    @cached_property
    def _range(self) -> tantivy.Query:
        import tantivy

        first, last = int(self._ids[0]), int(self._ids[-1])
        integer = tantivy.FieldType.Integer
        return tantivy.Query.range_query(self._schema, "id", integer, first, last)

    @cached_property
    def _exactly(self) -> tantivy.Query:
        import tantivy

        ids = self._ids.tolist()
        if not self._singly:
            return tantivy.Query.term_set_query(self._schema, "id", ids)
        should = tantivy.Occur.Should
        return tantivy.Query.boolean_query(
            [(should, tantivy.Query.term_query(self._schema, "id", id, "basic")) for id in ids]
        )


def _both(matching: tantivy.Query, condition: tantivy.Query) -> tantivy.Query:
    """The matches that meet the condition, with the same scores."""
    import tantivy

    must = tantivy.Occur.Must
    return tantivy.Query.boolean_query(
        [(must, matching), (must, tantivy.Query.const_score_query(condition, 0.0))]
    )


def fetched(
    searcher: tantivy.Searcher, query: tantivy.Query, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Ids and descending scores of the best passages."""
    hits = searcher.search(query, limit, count=False).hits
    ids = searcher.fast_field_values("id", [address for _, address in hits])
    return np.array(ids, dtype=np.int64), np.array([score for score, _ in hits], dtype=np.float32)
