"""A first stage that is judged and searches elsewhere: in a store, or by the user's own code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real

from rerank_search.built_in_stages import HYBRID
from rerank_search.errors import PluginError, RerankSearchError, StoreError
from rerank_search.index import Index
from rerank_search.ranking import ranked
from rerank_search.searchable import Searchable, with_documents
from rerank_search.shown import shown
from rerank_search.stores import Store
from rerank_search.types import Hit


@dataclass(frozen=True, slots=True)
class OwnStage:
    """A first stage of a Searchable, by default the best, by the name that an experiment gives it.

    ``afresh`` gives the same Searchable, remembering nothing of earlier queries.
    """

    name: str
    searched: Searchable
    stage: str | None = None
    afresh: Callable[[], Searchable] | None = None

    @property
    def first_stage(self) -> str:
        """Its name in the Searchable."""
        return self.stage or self.searched.first_stages[-1]

    def retrieve(self, queries: Sequence[str], k: int) -> list[list[Hit]]:
        """The rankings of the queries in the total order.

        Raises PluginError if the user's code fails, or returns hits that are not valid.
        """
        retriever = self.searched.retriever(self.first_stage)
        try:
            found: object = retriever.retrieve(queries, k)
        except RerankSearchError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise PluginError(
                f"{self.name} failed in retrieve ({type(error).__name__}: {error}). Fix it"
            ) from error
        if not isinstance(found, Sequence) or len(found) != len(queries):
            raise self._invalid(shown(found), f"a list of {len(queries)} lists of hits")
        return [self._ranking(hits)[:k] for hits in found]

    def in_corpus(self, index: Index, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The hits that the collection's corpus has, with the documents of this first stage."""
        found = with_documents(self.searched, rankings)
        ids = list(dict.fromkeys(hit.id for hits in found for hit in hits))
        documents = index.documents(ids)
        known = {id for id, document in zip(ids, documents, strict=True) if document is not None}
        return [[hit for hit in hits if hit.id in known] for hits in found]

    def scored(self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The hits with the scores of its first stages, as a Searcher gets them.

        Raises StoreError for a score that a store did not give: a search goes on without it, but
        figures would be wrong.
        """
        completed = self.searched.stage_scores(queries, rankings)
        if isinstance(self.searched, Store):
            wanted = {*self.searched.first_stages} - {HYBRID}
            if any(wanted - hit.stage_scores.keys() for hits in completed for hit in hits):
                raise StoreError(
                    f"{self.searched.name} gave no scores for some hits: the log says why. Try "
                    "again"
                )
        return completed

    def _ranking(self, hits: object) -> list[Hit]:
        if not isinstance(hits, Sequence):
            raise self._invalid(shown(hits), "a list of hits")
        by_id: dict[str, Hit] = {}
        for hit in hits:
            if not isinstance(hit, Hit):
                raise self._invalid(f"{shown(hit)} as a hit", "a Hit")
            if not isinstance(hit.score, Real) or not math.isfinite(hit.score):
                raise self._invalid(f"a hit with score={shown(hit.score)}", "a finite number")
            if hit.id in by_id:
                raise self._invalid(f"the hit {shown(hit.id)} twice", "in a ranking once")
            by_id[hit.id] = hit
        ordered = ranked((hit.id, hit.score, hit) for hit in by_id.values())
        return [replace(hit, rank=rank) for rank, (_, _, hit) in enumerate(ordered, start=1)]

    def _invalid(self, what: str, wanted: str) -> PluginError:
        return PluginError(
            f"{self.name} returned {what}, which must be {wanted}: fix its retrieve, and test it "
            "with rerank_search.testing.check_retriever"
        )
