"""The interface of everything that a Searcher can search: an index, a store, a single retriever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Protocol, runtime_checkable

from rerank_search.errors import InvalidInputError
from rerank_search.queries import query_list, text_list
from rerank_search.retrieval.base import Retriever
from rerank_search.shown import shown
from rerank_search.types import Document, Filter, Hit, Span
from rerank_search.vectors import EncodedQuery


@runtime_checkable
class Searchable(Protocol):
    """Anything that a Searcher can search; ``Index`` is one. Threads may share it.

    ``rerank_search.testing.check_searchable`` checks an implementation.
    """

    @property
    def first_stages(self) -> tuple[str, ...]:
        """Names of the first stages, the best last."""
        ...

    def retriever(self, name: str) -> Retriever:
        """A first stage by its name. Raises InvalidInputError for an unknown name."""
        ...

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents with these ids, in their order; None for an unknown id."""
        ...

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        """The same hits with the scores of all first stages, as far as they are known."""
        ...

    def filter_warnings(self, filter: Filter) -> Sequence[str]:
        """A sentence for each condition that no document can meet; empty if that is unknown."""
        ...


@runtime_checkable
class PassageSource(Protocol):
    """A Searchable that knows the passages of its documents; ``Index`` is one."""

    def passages(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[list[Hit]]]:
        """For each hit the passages of its document, each as a Hit with its span.

        ``stage_scores`` of a passage are its own, 0.0 in a first stage that does not find it.
        """
        ...


@runtime_checkable
class MatchSource(Protocol):
    """A Searchable that knows by which words it finds a text; ``Index`` is one."""

    def matches(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Where in each text the words stand by which the query finds it, as spans in order."""
        ...


def matches(source: Searchable, query: str, texts: Sequence[str]) -> list[list[Span]]:
    """Where in each text the words of the query stand, as spans in order.

    A source that does not know its words gets those that the analyzer "multilingual" finds.
    """
    if isinstance(source, MatchSource):
        return source.matches(query, texts)
    from rerank_search.retrieval.analysis import Words

    [asked] = query_list([query])
    words = Words("multilingual")
    return words.matches(words.of_query(asked, lambda term: 1), text_list(texts))


@runtime_checkable
class FusedSearchable(Protocol):
    """A Searchable some of whose first stages are not to be fused; ``Index`` is one."""

    @property
    def fused_stages(self) -> tuple[str, ...]:
        """The first stages whose scores a fusion weighs if it has weights for them."""
        ...


def fused_stages(source: Searchable) -> tuple[str, ...]:
    """The first stages whose scores a fusion weighs, by default all."""
    return source.fused_stages if isinstance(source, FusedSearchable) else source.first_stages


@runtime_checkable
class VectorSearchable(Protocol):
    """A Searchable that may take the vectors of queries; ``Index`` is one."""

    @property
    def takes_query_vectors(self) -> bool:
        """Whether queries bring their vectors with them (``EncodedQuery``)."""
        ...


def check_query_vectors(source: object, queries: Sequence[str]) -> None:
    """Raise InvalidInputError for a query with a vector that ``source`` would not use."""
    if isinstance(source, VectorSearchable) and source.takes_query_vectors:
        return
    if any(isinstance(query, EncodedQuery) for query in queries):
        raise InvalidInputError(
            f"query_vector is for an index of your own vectors, which this {type(source).__name__} "
            "is not: leave it out, or create an index with encoder=None and dimension=..."
        )


@dataclass(frozen=True, slots=True)
class SingleRetriever:
    """A retriever whose hits have documents, as a Searchable with one first stage.

    A fusion weighs the reranker's score, and the retriever's if it has weights for a stage of this
    name: a hit has no other scores.
    """

    only: Retriever

    def __repr__(self) -> str:
        return shown(self.only)

    @property
    def first_stages(self) -> tuple[str, ...]:
        """The retriever's name."""
        return (self.only.name,)

    def retriever(self, name: str) -> Retriever:
        """The retriever. Raises InvalidInputError for another name."""
        if name != self.only.name:
            raise InvalidInputError(
                f"there is no first stage {shown(name)}: use {self.only.name!r}, the only one"
            )
        return self.only

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """An empty list for no ids. Raises InvalidInputError for a hit without its document."""
        if ids:
            raise InvalidInputError(
                f"the retriever {self.only.name!r} returned the hit {shown(ids[0])} without a "
                "document: return Hit(..., document=Document(...)), or search an Index"
            )
        return []

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        """The hits with their score under the retriever's name, unless they have it already."""
        return [
            [
                replace(hit, stage_scores={self.only.name: hit.score, **hit.stage_scores})
                for hit in hits
            ]
            for hits in rankings
        ]

    def filter_warnings(self, filter: Filter) -> Sequence[str]:
        """No warnings, because a retriever does not know which metadata exists."""
        return ()


def searchable(given: object) -> Searchable:
    """``given`` as a Searchable; a retriever is wrapped in one. Raises InvalidInputError."""
    if isinstance(given, str) and "://" in given:  # not shown, since it may have a password
        raise InvalidInputError(
            "index is a URL: open a store first, rerank_search.stores.open_store(...), and search "
            "an index of a server by RemoteSearcher"
        )
    if isinstance(given, (str, bytes, PathLike)):
        raise InvalidInputError(
            f"index={shown(given)} is a path: open it first, Index.open({shown(given)})"
        )
    if not isinstance(given, type):
        if isinstance(given, Searchable):
            return given
        if callable(getattr(given, "retrieve", None)) and isinstance(
            getattr(given, "name", None), str
        ):
            return SingleRetriever(given)  # type: ignore[arg-type]
    raise InvalidInputError(
        f"index={shown(given)} cannot be searched: give an Index, as Index.open returns it, "
        "another Searchable, or a Retriever whose hits have documents"
    )


def with_documents(source: Searchable, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
    """The hits with their documents, without hits whose documents have been deleted since.

    A hit that already has its document keeps it.
    """
    ids = list(dict.fromkeys(h.id for hits in rankings for h in hits if h.document is None))
    found = dict(zip(ids, source.documents(ids), strict=True))
    return [
        [_with(document, hit) for hit in hits if (document := hit.document or found[hit.id])]
        for hits in rankings
    ]


def _with(document: Document, hit: Hit) -> Hit:
    # dataclasses.replace takes five times as long, which matters for a hundred hits a query.
    return Hit(
        hit.id,
        hit.score,
        hit.rank,
        document,
        hit.stage_scores,
        hit.span,
        hit.relevance,
        hit.passages,
        hit.duplicates,
    )
