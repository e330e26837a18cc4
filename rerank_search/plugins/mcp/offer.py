"""What the tools work with: indexes to search and to change, and a reranker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from rerank_search.errors import RerankSearchError
from rerank_search.index import Index
from rerank_search.plugins.mcp.answers import RankedText, RankedTexts
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.serving.reranking import best_first, submitted
from rerank_search.serving.schemas.search import SearchRequest
from rerank_search.serving.searching import searched
from rerank_search.serving.service import Service
from rerank_search.serving.threads import Threads
from rerank_search.serving.validation import invalid
from rerank_search.types import Document, SearchResponse


@dataclass(frozen=True, slots=True)
class Holding:
    """What an index holds: the number of its documents, its first stages, and some documents.

    A store cannot be asked for some documents, so there are none of it.
    """

    documents: int
    first_stages: Sequence[str]
    sample: Sequence[Document]


class Offer(Protocol):
    """The indexes and the reranker of a service in this process, or of a server.

    All methods but ``ranked`` wait, so they are called in ``threads``. They raise the library's
    errors, and ApiError.
    """

    @property
    def threads(self) -> Threads:
        """The threads for calls that wait."""
        ...

    def names(self) -> list[str]:
        """The names of the indexes, ascending."""
        ...

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """The number of documents of each of these indexes that can be opened."""
        ...

    def holding(self, name: str, most: int) -> Holding:
        """What an index holds, with at most so many documents."""
        ...

    def search(
        self, name: str, query: str, options: Mapping[str, Any], ongoing: OngoingSearch
    ) -> SearchResponse:
        """The best hits in one index, with their documents."""
        ...

    def document(self, name: str, id: str) -> Document | None:
        """A document, or None for an unknown id."""
        ...

    def add(self, name: str, documents: Sequence[Document]) -> int:
        """Store documents, and return how many are new or changed."""
        ...

    def delete(self, ids: Mapping[str, Sequence[str]]) -> int:
        """Delete documents by the ids in each index, and return how many.

        Nothing is deleted if one of the indexes does not exist.
        """
        ...

    async def ranked(self, query: str, texts: list[str], instruction: str | None) -> RankedTexts:
        """All of the texts, the most relevant first."""
        ...


class ServiceOffer:
    """The indexes and the rerankers of a service in this process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @property
    def threads(self) -> Threads:
        """Those of the service."""
        return self._service.threads

    def names(self) -> list[str]:
        """See ``Offer``."""
        return self._service.indexes.names()

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """See ``Offer``."""
        sizes: dict[str, int] = {}
        for name in names:
            try:
                with self._service.indexes.use(name) as index:
                    sizes[name] = len(index)
            except RerankSearchError:
                continue
        return sizes

    def holding(self, name: str, most: int) -> Holding:
        """See ``Offer``."""
        with self._service.indexes.use(name) as served:
            sample = served.find(limit=most) if isinstance(served, Index) else ()
            return Holding(len(served), served.first_stages, sample)

    def search(
        self, name: str, query: str, options: Mapping[str, Any], ongoing: OngoingSearch
    ) -> SearchResponse:
        """See ``Offer``."""
        try:
            request = SearchRequest(index=name, query=query, **options)
        except ValidationError as error:
            raise invalid(error.errors(include_url=False)[0]) from None
        [response] = searched(self._service, request, ongoing).responses
        return response

    def document(self, name: str, id: str) -> Document | None:
        """See ``Offer``."""
        with self._service.indexes.use(name) as index:
            [found] = index.documents([id])
            return found

    def add(self, name: str, documents: Sequence[Document]) -> int:
        """See ``Offer``."""
        limits = self._service.limits
        limits.check_texts("documents", [each.text for each in documents], limits.documents)
        with self._service.indexes.use(name) as index:
            return index.add(documents)

    def delete(self, ids: Mapping[str, Sequence[str]]) -> int:
        """See ``Offer``."""
        for name in ids:
            self._service.indexes.check(name)
        deleted = 0
        for name, own in ids.items():
            with self._service.indexes.use(name) as index:
                deleted += index.delete(own)
        return deleted

    async def ranked(self, query: str, texts: list[str], instruction: str | None) -> RankedTexts:
        """See ``Offer``."""
        rerankers = self._service.rerankers
        model = rerankers.name(None)
        with self._service.traces.span("rerank", model=model, count=len(texts)):
            future = submitted(self._service, model, query, texts, "truncate", instruction)
            scores = await asyncio.wrap_future(future)
        values = rerankers.probabilities(model, scores).tolist()
        return RankedTexts(
            results=[RankedText(index=at, relevance=values[at]) for at in best_first(scores)],
            truncated=int(scores.truncated.sum()) or None,
        )
