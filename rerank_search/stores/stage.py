"""A store's search by words or by vectors as a first stage, in the total order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rerank_search.queries import checked_k, query_list
from rerank_search.ranking import ranked
from rerank_search.retrieval.ties import complete
from rerank_search.storage.filter_tree import FilterTree, filter_tree
from rerank_search.storage.records import storable_ids
from rerank_search.stores.base import Scored
from rerank_search.types import Filter, Hit

SearchOne: TypeAlias = Callable[[int, FilterTree | None, Sequence[str] | None], list[Scored]]
"""Function from k, a filter and the ids to search among (None: all) to what a query finds."""

Prepare: TypeAlias = Callable[[Sequence[str]], list[SearchOne | None]]
"""Function from queries to their searches; None for a query that finds nothing."""

BEYOND = 8
"""Hits that are fetched beyond the k-th at first, to see whether its score is a tie."""


class StoreStage:
    """One of a store's first stages; a ``Retriever``.

    ``breaks_ties`` says that the engine ranks documents with equal scores by their ids. Otherwise
    more is fetched until all documents with the score of the last one are there, and scores that
    differ by no more than rounding count as equal.
    """

    def __init__(self, name: str, prepare: Prepare, *, breaks_ties: bool) -> None:
        self.name = name
        self._prepare = prepare
        self._breaks_ties = breaks_ties

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order.

        Raises InvalidInputError for k < 1, an unusable query, and a filter that the store's engine
        cannot express exactly; InvalidFilterError; StoreError.
        """
        queries = query_list(queries)
        k = checked_k(k)
        everything = filter is None or (isinstance(filter, Mapping) and not filter)
        tree = None if filter is None or everything else filter_tree(filter)
        searches = self._prepare(queries)
        return [[] if search is None else self._ranking(search, k, tree) for search in searches]

    def scores(
        self, queries: Sequence[str], ids: Sequence[Sequence[str]]
    ) -> list[dict[str, float]]:
        """The scores of each query's documents, by id, without those that it does not find."""
        possible = map(storable_ids, ids)
        return [
            {} if search is None or not wanted else dict(search(len(wanted), None, wanted))
            for search, wanted in zip(self._prepare(queries), possible, strict=True)
        ]

    def _ranking(self, search: SearchOne, k: int, filter: FilterTree | None) -> list[Hit]:
        if self._breaks_ties:
            found = search(k, filter, None)
        else:
            found = _with_ties(lambda limit: search(limit, filter, None), k)
        order = ranked((id, float(score), None) for id, score in found)
        return [
            Hit(id, score, rank, stage_scores={self.name: score})
            for rank, (id, score, _) in enumerate(islice(order, k), start=1)
        ]


def _with_ties(fetch: Callable[[int], list[Scored]], k: int) -> list[Scored]:
    """The best k documents, and all that tie with the last of them."""
    found: list[Scored] = []

    def best(limit: int) -> tuple[NDArray[np.int64], NDArray[np.float32], bool]:
        found[:] = fetch(limit)
        scores = np.array([score for _, score in found], np.float32)
        order = np.argsort(-scores, kind="stable")
        return order.astype(np.int64), scores[order], len(found) < limit

    level = complete(best, k, k + BEYOND)
    return [
        (found[place][0], score)
        for place, score in zip(level.ids.tolist(), level.scores.tolist(), strict=True)
    ]
