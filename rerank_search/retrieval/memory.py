"""BM25 over a list of texts in memory, by rank-bm25: no index, no files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from rerank_search.built_in_stages import BM25
from rerank_search.errors import InvalidFilterError
from rerank_search.queries import checked_k, query_list
from rerank_search.ranking import ranked
from rerank_search.retrieval.analysis import Words, checked_stop_words
from rerank_search.shown import shown
from rerank_search.types import Filter, Hit


class MemoryRetriever:
    """BM25 with k1 = 1.2 and b = 0.75 over texts whose ids are their positions; a ``Retriever``.

    The scores are rank-bm25's ``BM25Okapi`` with Lucene's IDF, log(1 + (N - n + 0.5) / (n + 0.5)),
    in place of its own, which is zero or negative for a word in half of the texts or more. They
    equal those of ``Bm25Index`` except that it rounds lengths. ``best`` orders equal scores by
    position, and ``retrieve`` by id. Hits have no document. ``analyzer`` and ``stop_words`` are
    as in ``Index.create``.
    """

    name: str = BM25

    def __init__(
        self,
        texts: Sequence[str],
        *,
        analyzer: str = "english",
        stop_words: Literal["language"] | Iterable[str] | None = None,
    ) -> None:
        self._words = Words(analyzer, stop_words=checked_stop_words(analyzer, stop_words))
        corpus = [self._words.terms(text) for text in texts]
        # rank-bm25 divides by the mean length and by the number of different words.
        self._frequencies = Counter(word for words in corpus for word in {*words})
        self._bm25 = _lucene_bm25(corpus, self._frequencies) if any(corpus) else None

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k texts of each query that share a word with it, in the total order.

        Raises InvalidInputError for k < 1 or an unusable query, InvalidFilterError for a filter:
        texts in a list have no metadata.
        """
        queries = query_list(queries)
        k = checked_k(k)
        if filter:
            raise InvalidFilterError(
                f"the filter {shown(filter)} cannot be applied to plain texts, which have no "
                "metadata: leave it out, or search an index of documents"
            )
        return [self._ranking(query, k) for query in queries]

    def best(self, query: str, k: int) -> list[tuple[int, float]]:
        """Positions and scores of the best k texts; equal scores by position."""
        found = ranked((position, score, None) for position, score in self._scores(query))
        return [(position, score) for position, score, _ in found[:k]]

    def _ranking(self, query: str, k: int) -> list[Hit]:
        order = ranked((str(position), score, None) for position, score in self._scores(query))
        return [
            Hit(text, score, rank, stage_scores={self.name: score})
            for rank, (text, score, _) in enumerate(order[:k], start=1)
        ]

    def _scores(self, query: str) -> Iterator[tuple[int, float]]:
        """Positions and scores of the texts that share a word with the query."""
        if self._bm25 is None:
            return
        asked = self._words.of_query(query, self._frequencies.__getitem__)
        scores = self._bm25.get_scores(asked.terms)
        for term, weight in asked.weighted.items():
            scores += weight * self._bm25.get_scores([term])
        for position in np.flatnonzero(scores).tolist():
            yield position, float(scores[position])


def _lucene_bm25(corpus: list[list[str]], frequencies: Mapping[str, int]) -> Any:
    from rank_bm25 import BM25Okapi

    bm25 = BM25Okapi(corpus, k1=1.2, b=0.75)
    bm25.idf = {
        word: math.log1p((len(corpus) - n + 0.5) / (n + 0.5)) for word, n in frequencies.items()
    }
    return bm25
