"""An engine as a first stage: a ranking of documents by the passages that it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerank_search.queries import checked_k, query_list
from rerank_search.ranking import ranked
from rerank_search.retrieval.base import Catalogue, Engine, PassageScores
from rerank_search.types import Filter, Hit, Span

PASSAGES_PER_DOCUMENT = 3
"""Passages fetched at first for each wanted document if documents are split."""


class Stage:
    """An engine and the documents behind its passages; a ``Retriever``.

    Each call gets the engine in its last published state from ``engine()``. ``index`` is the index
    whose ``retriever`` made this stage, and is pickled in its place.

    A document's score is that of its best passage (MaxP: Dai and Callan, SIGIR 2019), and the hit's
    ``span`` is that passage's place in the text. Hits have no document.
    """

    def __init__(
        self,
        name: str,
        engine: Callable[[], Engine],
        catalogue: Catalogue,
        *,
        index: object = None,
    ) -> None:
        self.name = name
        self._engine = engine
        self._catalogue = catalogue
        self._index = index

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the index, which unpickling opens for reading."""
        return methodcaller("retriever", self.name), (self._index,)

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order.

        Raises InvalidInputError for k < 1 or an unusable query, InvalidFilterError.
        """
        queries = query_list(queries)
        k = checked_k(k)
        everything = filter is None or (isinstance(filter, Mapping) and not filter)
        allowed = None if filter is None or everything else self._catalogue.allowed(filter)
        rankings: list[list[Hit]] = [[] for _ in queries]
        if allowed is not None and not len(allowed):
            return rankings  # no need to load an encoder for the queries
        engine = self._engine()
        unfinished = list(range(len(queries)))
        limit = PASSAGES_PER_DOCUMENT * k if self._catalogue.splits else k
        while unfinished:
            found = engine.search([queries[i] for i in unfinished], limit, allowed=allowed)
            hits = self._documents(found, k)
            for place, ranking in zip(unfinished, hits, strict=True):
                rankings[place] = ranking
            # Too few documents, though the engine may have more: some passages were of the same
            # documents, or of deleted ones.
            unfinished = [
                place
                for place, scores in zip(unfinished, found, strict=True)
                if len(rankings[place]) < k and len(scores.ids) >= limit
            ]
            limit *= 4
        return rankings

    def _documents(self, found: Sequence[PassageScores], k: int) -> list[list[Hit]]:
        ids = [np.empty(0, np.int64), *(scores.ids for scores in found)]
        located = iter(self._catalogue.locate(np.concatenate(ids)))
        return [self._ranking(scores, [next(located) for _ in scores.ids], k) for scores in found]

    def _ranking(
        self,
        found: PassageScores,
        located: Sequence[tuple[str, Span | None] | None],
        k: int,
    ) -> list[Hit]:
        best: dict[str, tuple[float, Span | None]] = {}
        for place in _best_first(found):
            where = located[place]
            if where is not None and where[0] not in best:
                best[where[0]] = float(found.scores[place]), where[1]
        order = ranked((document, score, span) for document, (score, span) in best.items())
        return [
            Hit(document, score, rank, stage_scores={self.name: score}, span=span)
            for rank, (document, score, span) in enumerate(order[:k], start=1)
        ]


def _best_first(found: PassageScores) -> NDArray[np.intp]:
    """Positions by score descending, then by passage, so that the first of equal ones wins."""
    return np.lexsort((found.ids, -found.scores))
