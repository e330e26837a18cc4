"""The candidates of a query: what the first stage gives, and the positives that it missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rerank_search.errors import PluginError
from rerank_search.index import Index
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.own_stage import OwnStage
from rerank_search.ranking import ranked
from rerank_search.retrieval.registry import is_engine
from rerank_search.searchable import with_documents
from rerank_search.shown import shown
from rerank_search.types import Hit

QUERIES_AT_ONCE = 100
"""Queries whose candidates are in memory together."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """One query's candidates, in the total order, with their documents if they are reranked.

    ``retrieved`` is the first stage's ranking, ``missed`` the judged positives that are not in
    it, with the scores of both first stages. ``unknown`` are retrieved ids missing from the corpus.
    """

    query: str
    retrieved: Sequence[Hit]
    missed: Sequence[Hit]
    unknown: Sequence[str]


class CandidateSource:
    """Candidates of one first stage at one depth: of an index, of a run, or of the user's own.

    With ``own`` the index only tells which documents the corpus has, and has the positives that
    were missed.

    Documents that the collection excludes for a query are left out before the depth is counted.
    ``reranked`` adds the documents and the positives that were missed, ``with_scores`` adds the
    stage scores that a fusion needs.
    """

    def __init__(
        self,
        collection: JudgedCollection,
        index: Index | None,
        first_stage: str,
        depth: int,
        *,
        reranked: bool,
        with_scores: bool,
        own: OwnStage | None = None,
    ) -> None:
        self._own = own
        self._collection = collection
        self._index = index
        self._run = collection.runs.get(first_stage)
        of_index = None if self._run or own else index
        self._retriever = None if of_index is None else of_index.retriever(first_stage)
        self._depth = depth
        self._reranked = reranked
        self._with_scores = with_scores

    def candidates(self, queries: Sequence[str]) -> Iterator[Candidates]:
        """The candidates of each query id; none for one that has no text."""
        # A run that is not reranked can be measured without the texts of its queries.
        without_texts = self._run if self._index is None and self._run is not None else {}
        texts_of = self._collection.queries
        known = [query for query in queries if query in texts_of or query in without_texts]
        texts = [texts_of.get(query, "") for query in known]
        rankings = self._retrieved(known, texts)
        missed = [
            self._missed(query, hits) if self._reranked else []
            for query, hits in zip(known, rankings, strict=True)
        ]
        found = dict(zip(known, zip(rankings, missed, strict=True), strict=True))
        elsewhere = self._run is not None or self._own is not None
        if self._index is not None and (self._reranked or elsewhere):
            completed = self._complete(self._index, texts, rankings, missed)
            done = dict(zip(known, completed, strict=True))
        else:
            done = found  # an index has every document that it finds
        for query in queries:
            hits, missing = done.get(query, ([], []))
            there = {hit.id for hit in hits}
            ranking, _ = found.get(query, ([], []))
            yield Candidates(query, hits, missing, [h.id for h in ranking if h.id not in there])

    def _retrieved(self, queries: Sequence[str], texts: Sequence[str]) -> list[list[Hit]]:
        excluded = [self._collection.left_out(query) for query in queries]
        if self._run is not None:
            rankings = [self._of_run(query) for query in queries]
        elif (searched := self._own or self._retriever) is not None and texts:
            spare = max(len(left_out) for left_out in excluded)
            rankings = searched.retrieve(texts, self._depth + spare)
        else:
            rankings = [[] for _ in queries]
        return [
            [hit for hit in hits if hit.id not in left_out][: self._depth]
            for hits, left_out in zip(rankings, excluded, strict=True)
        ]

    def _of_run(self, query: str) -> list[Hit]:
        scores = (self._run or {}).get(query, {})
        order = ranked((document, score, None) for document, score in scores.items())
        return [Hit(document, score, rank) for rank, (document, score, _) in enumerate(order, 1)]

    def _missed(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        found = {hit.id for hit in hits} | self._collection.left_out(query)
        return [
            Hit(document, 0.0, 0)
            for document, grade in self._collection.qrels[query].items()
            if grade >= self._collection.relevant_from and document not in found
        ]

    def _complete(
        self,
        index: Index,
        texts: Sequence[str],
        rankings: Sequence[Sequence[Hit]],
        missed: Sequence[Sequence[Hit]],
    ) -> list[tuple[list[Hit], list[Hit]]]:
        """Both lists without hits that have no document; with stage scores and spans as needed."""
        if self._own is not None:
            rankings = self._own.in_corpus(index, rankings)
        both = with_documents(index, [*rankings, *missed])
        retrieved, added = both[: len(rankings)], both[len(rankings) :]
        if not self._reranked:
            return list(zip(retrieved, added, strict=True))
        if self._own is not None:
            if self._with_scores:
                retrieved = self._own.scored(texts, retrieved)
                added = self._own.scored(texts, added)
            # The passages of the corpus, because the positives have its documents.
            added = [[replace(hit, span=None) for hit in hits] for hits in added]
            added = _scored(index, texts, added)
        elif self._with_scores:
            joined = [[*one, *other] for one, other in zip(retrieved, added, strict=True)]
            both = _scored(index, texts, joined)
            retrieved, added = (
                [hits[: len(one)] for hits, one in zip(both, retrieved, strict=True)],
                [hits[len(one) :] for hits, one in zip(both, retrieved, strict=True)],
            )
        else:
            # A retriever gives the passage that it found; for the others find the best one.
            retrieved = _scored(index, texts, retrieved) if self._run is not None else retrieved
            added = _scored(index, texts, added)
        return list(zip(retrieved, added, strict=True))


def _scored(
    index: Index, texts: Sequence[str], rankings: Sequence[Sequence[Hit]]
) -> list[list[Hit]]:
    """The rankings with the score of every engine.

    Raises PluginError for an engine whose package fails: a search goes on without its scores, but
    figures would be wrong.
    """
    completed = index.stage_scores(texts, rankings)
    engines = {name for name in index.first_stages if is_engine(name)}
    for text, hits in zip(texts, completed, strict=True):
        for hit in hits:
            lacking = engines - hit.stage_scores.keys()
            if lacking and lacking != engines:  # a document without text has no scores at all
                raise PluginError(
                    f"the first stage {min(lacking)} gave no scores for the query {shown(text)}: "
                    "the log says why. Fix or upgrade its package, or leave it out of the index"
                )
    return completed
