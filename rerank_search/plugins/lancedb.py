"""rerank_search in LanceDB: a reranker for its query builder."""

from __future__ import annotations

from typing import Any, Literal

from rerank_search.arguments import string
from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.models.registry import AUTO
from rerank_search.plugins.rerankers import RerankerGiven, TextRanker
from rerank_search.queries import check_instruction
from rerank_search.shown import shown

try:
    import pyarrow as pa
    from lancedb.rerankers import Reranker
except ImportError as error:
    raise MissingDependencyError(
        'this needs the package lancedb: pip install "rerank-search[lancedb]"'
    ) from error

__all__ = ["RerankSearchReranker"]

RELEVANCE, DISTANCE, SCORE, ROW = "_relevance_score", "_distance", "_score", "_rowid"
"""Columns of LanceDB: the reranker's score, those of its searches, and the row's number."""


class RerankSearchReranker(Reranker):
    """Reranks what LanceDB finds by words, by vectors, or by both. Threads may share one.

        >>> query = table.search("join paths", query_type="hybrid").limit(10)
        >>> query.rerank(RerankSearchReranker(column="text")).to_list()

    ``reranker`` is the name or the folder of a model, loaded at the first use, or a Reranker of
    this package. It reads the column ``column``. The results are sorted by its logits, which are in
    the column ``_relevance_score``; equal ones keep their order. With ``return_score="all"`` the
    columns ``_distance`` and ``_score`` stay, NULL for rows that the other search found alone.
    ``instruction`` says what makes a text relevant, to a reranker that takes one.

    Raises InvalidInputError for invalid arguments, a query without words and a column that is not
    there, RerankError, and what loading the reranker raises.
    """

    def __init__(
        self,
        reranker: RerankerGiven = AUTO,
        *,
        column: str = "text",
        return_score: Literal["relevance", "all"] = "relevance",
        instruction: str | None = None,
    ) -> None:
        if return_score not in ("relevance", "all"):
            raise InvalidInputError(
                f"return_score={shown(return_score)} is not known: use 'relevance' or 'all'"
            )
        super().__init__(return_score)
        if instruction is not None:
            check_instruction(instruction)
        self.column = string("column", column)
        self._ranker = TextRanker(reranker)
        self._instruction = instruction

    def __str__(self) -> str:
        return f"RerankSearchReranker({self._ranker.name!r})"

    __repr__ = __str__

    def rerank_vector(self, query: str, vector_results: pa.Table) -> pa.Table:
        """The results of a search by vectors, in the reranker's order."""
        return self._reranked(query, vector_results)

    def rerank_fts(self, query: Any, fts_results: pa.Table) -> pa.Table:
        """The results of a search by words, in the reranker's order."""
        return self._reranked(query, fts_results)

    def rerank_hybrid(
        self, query: Any, vector_results: pa.Table, fts_results: pa.Table
    ) -> pa.Table:
        """The results of both searches, each row once, in the reranker's order."""
        merged = self.merge_results(vector_results, fts_results)
        if SCORE in merged.column_names and ROW in fts_results.column_names:
            rows, scores = fts_results[ROW].to_pylist(), fts_results[SCORE].to_pylist()
            by_row = dict(zip(rows, scores, strict=True))
            known = pa.array([by_row.get(row) for row in merged[ROW].to_pylist()], pa.float32())
            merged = merged.set_column(merged.column_names.index(SCORE), SCORE, known)
        return self._reranked(query, merged)

    def _reranked(self, query: Any, found: pa.Table) -> pa.Table:
        if self.column not in found.column_names:
            raise InvalidInputError(
                f"the results have no column {shown(self.column)} for the reranker to read: select "
                f"it, or name another one with column=; there are {', '.join(found.column_names)}"
            )
        texts = [text or "" for text in found[self.column].to_pylist()]
        pairs = [(_words(query), text) for text in texts]
        logits = self._ranker.scores(pairs, instruction=self._instruction)
        order = sorted(range(len(logits)), key=lambda place: -logits[place])
        dropped = () if self.score == "all" else (DISTANCE, SCORE)
        kept = found.drop_columns([name for name in dropped if name in found.column_names])
        scored = kept.append_column(RELEVANCE, pa.array(logits, pa.float32()))
        return scored.take(pa.array(order, pa.int64()))


def _words(query: Any) -> str:
    """The words of a query, which LanceDB also takes as an object."""
    words = query if isinstance(query, str) else getattr(query, "query", None)
    if not isinstance(words, str):
        raise InvalidInputError(
            f"the query {shown(query)} has no words for the reranker: give some, as in "
            ".rerank(reranker, query_string='join paths')"
        )
    return words
