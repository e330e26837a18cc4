"""The indexes and the rerankers of a server, as the tools work with them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rerank_search.client.call import Call
from rerank_search.client.documents import deletions, uploads, written_with
from rerank_search.client.found import documents, of_filter
from rerank_search.client.indexes import ServedIndex, indexes
from rerank_search.client.rerankers import ranking
from rerank_search.client.searches import searches
from rerank_search.client.transport import Transport
from rerank_search.errors import IndexNotFoundError, InvalidInputError, ServerError
from rerank_search.http_calls.endpoint import Endpoint
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchOptions
from rerank_search.plugins.index_url import parts_of_url, shared_key
from rerank_search.plugins.mcp.answers import RankedText, RankedTexts
from rerank_search.plugins.mcp.offer import Holding
from rerank_search.serving.errors import ApiError
from rerank_search.serving.limits import Limits
from rerank_search.serving.ongoing import OngoingSearch
from rerank_search.serving.threads import Threads
from rerank_search.shown import shown
from rerank_search.types import Document, SearchResponse

Result = TypeVar("Result")


class RemoteService:
    """Indexes of a server, for ``mcp_server`` in place of a Service.

    ``urls`` are those of indexes of one server, such as ``http://127.0.0.1:8000/v1/indexes/notes``,
    or that of the server for all of its indexes. ``model`` is one of the server's rerankers, AUTO
    its first. ``api_key`` is the key for the server; without one RERANK_SEARCH_API_KEY is sent if
    it is set. ``timeout`` and ``retries`` are those of ``rerank_search.Client``. No connection is
    made before the first use.

    Raises InvalidInputError for arguments that cannot be used.
    """

    def __init__(
        self,
        *urls: str,
        model: str = AUTO,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        parts = [parts_of_url(url) for url in urls]
        if len({base for base, _ in parts}) != 1:
            raise InvalidInputError(
                f"{shown(list(urls))} are not on one server: give URLs of indexes of the same one"
            )
        [base, _], named = parts[0], [name for _, name in parts if name is not None]
        self._only = None if len(named) < len(parts) else frozenset(named)
        self._model = None if model == AUTO else model
        self._transport = Transport(
            Endpoint(
                base,
                api_key=shared_key() if api_key is None else api_key,
                timeout=timeout,
                retries=retries,
                random=random.random,
            )
        )
        self._threads = Threads(Limits())

    @property
    def threads(self) -> Threads:
        """The threads in which calls wait for the server."""
        return self._threads

    def check(self) -> None:
        """Raise IndexNotFoundError for a URL of no index, ApiError if there is no answer."""
        there = self.names()
        for name in sorted(self._only or ()):
            if name not in there:
                raise self._unknown(name)

    def names(self) -> list[str]:
        """See ``Offer``."""
        return sorted(self._served())

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """See ``Offer``."""
        served = self._served()
        return {name: served[name].documents for name in names if name in served}

    def holding(self, name: str, most: int) -> Holding:
        """See ``Offer``."""
        found = self._served().get(name)
        if found is None:
            raise self._unknown(name)
        pages = of_filter(name, None, after=None, limit=most)
        pages.read(self._ask)
        return Holding(found.documents, found.first_stages, pages.documents)

    def search(
        self, name: str, query: str, options: Mapping[str, Any], ongoing: OngoingSearch
    ) -> SearchResponse:
        """See ``Offer``."""
        self._check(name)
        asked = SearchOptions(**options)
        model = self._model if asked.rerank else None
        [call] = searches(name, [query], asked, model=model, text="full")
        [response] = self._ask(call)
        return response

    def document(self, name: str, id: str) -> Document | None:
        """See ``Offer``."""
        self._check(name)
        return documents(self._ask, name, [id])[0]

    def add(self, name: str, documents: Sequence[Document]) -> int:
        """See ``Offer``."""
        self._check(name)
        written = 0
        for call in uploads(name, documents):
            written = written_with(written, self._ask(call))
        return written

    def delete(self, ids: Mapping[str, Sequence[str]]) -> int:
        """See ``Offer``."""
        there = self.names()
        for name in ids:
            if name not in there:
                raise self._unknown(name)
        return sum(self._ask(call) for name, own in ids.items() for call in deletions(name, own))

    async def ranked(self, query: str, texts: list[str], instruction: str | None) -> RankedTexts:
        """See ``Offer``."""
        if not query.strip():
            raise ApiError(400, "invalid_request", "the query is blank: say what to look for")
        call = ranking(
            query,
            texts,
            top_k=max(1, len(texts)),
            long_documents="truncate",
            model=self._model,
            instruction=instruction,
        )
        if call is None:
            return RankedTexts(results=[])
        hits = await self._threads.read_unless_cancelled(lambda: self._ask(call))
        return RankedTexts(
            results=[RankedText(index=int(hit.id), relevance=hit.score) for hit in hits]
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _served(self) -> dict[str, ServedIndex]:
        """The indexes by their names."""
        found = {each.name: each for each in self._ask(indexes())}
        return {
            name: each for name, each in found.items() if self._only is None or name in self._only
        }

    def _check(self, name: str) -> None:
        """Raise IndexNotFoundError for an index that is not one of those that were named."""
        if self._only is not None and name not in self._only:
            raise self._unknown(name)

    def _unknown(self, name: str) -> IndexNotFoundError:
        there = ", ".join(self.names()) or "none"
        return IndexNotFoundError(f"there is no index {shown(name)}; there are: {there}")

    def _ask(self, call: Call[Result]) -> Result:
        """The result of a call; a server that cannot answer is told to the model as it is."""
        try:
            return self._transport.ask(call)
        except ServerError as error:
            raise ApiError(error.status or 502, error.type, str(error)) from error
