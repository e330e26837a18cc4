"""A server's index, searched as a Searcher searches one on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Unpack

from rerank_search.client.base import BaseClient
from rerank_search.client.call import Call
from rerank_search.client.found import documents, of_filter
from rerank_search.client.indexes import ServedIndex, indexes
from rerank_search.client.matches import matches
from rerank_search.client.searches import searches
from rerank_search.client.transport import AsyncTransport, Transport
from rerank_search.errors import IndexNotFoundError, InvalidInputError
from rerank_search.options import SearchArguments, SearchOptions, merged, shows_options
from rerank_search.queries import checked_k
from rerank_search.shown import shown
from rerank_search.types import Document, Filter, Hit, SearchResponse, Span


class RemoteSearcher(BaseClient):
    """Searches an index of a server, with the methods of ``Searcher``. Threads and loops share one.

    The server searches in both stages, with ``model``, one of its rerankers, or its first one.
    ``index`` may be left out if the server has only one; ``api_key``, ``timeout`` and ``retries``
    are those of ``Client``. No connection is made before the first call.

        >>> with RemoteSearcher("http://127.0.0.1:8000", "notes") as searcher:
        ...     response = searcher.search("how do I join two paths", top_k=2)
        >>> [hit.id for hit in response.hits]
        ['os.path.join', 'str.join']

    It is also a ``Searchable``: ``Searcher(RemoteSearcher(url, "notes"), reranker=...)`` has the
    server fetch the candidates and reranks them here. Methods raise what those of ``Client`` raise.
    """

    def __init__(
        self,
        url: str,
        index: str | None = None,
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        super().__init__(url, index, api_key=api_key, timeout=timeout, retries=retries)
        self._transport = Transport(self._endpoint)
        self._async_transport = AsyncTransport(self._endpoint)
        self._model = model
        self._known: ServedIndex | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as address and settings. Raises InvalidInputError for one with a key."""
        made, arguments = super().__reduce__()
        return partial(made, model=self._model), arguments

    @shows_options
    def search(
        self,
        query: str,
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """The best ``top_k`` documents for the query, as ``Searcher.search`` finds them.

        If the reranker fails, the response is that of the first stage, with the reason in
        ``degraded``.
        """
        return self.search_batch([query], options, **arguments)[0]

    @shows_options
    def search_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> list[SearchResponse]:
        """Search for many queries, at most 32 a request; one response each, in their order."""
        asked = self._searches(queries, merged(options, arguments))
        return [response for call in asked for response in self._transport.ask(call)]

    @shows_options
    async def asearch(
        self,
        query: str,
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """``search`` for asyncio."""
        [response] = await self.asearch_batch([query], options, **arguments)
        return response

    @shows_options
    async def asearch_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        **arguments: Unpack[SearchArguments],
    ) -> list[SearchResponse]:
        """``search_batch`` for asyncio."""
        asked = self._searches(queries, merged(options, arguments))
        return [response for call in asked for response in await self._async_transport.ask(call)]

    def _searches(
        self, queries: Iterable[str], options: SearchOptions
    ) -> Iterator[Call[list[SearchResponse]]]:
        model = self._model if options.rerank else None
        return searches(self._index, queries, options, model=model, text="full")

    @property
    def first_stages(self) -> tuple[str, ...]:
        """Names of the index's first stages, the best last; asked for once."""
        return self._served().first_stages

    @property
    def fused_stages(self) -> tuple[str, ...]:
        """The first stages whose scores a fusion weighs if it has weights for them."""
        return self._served().fused_stages

    @property
    def takes_query_vectors(self) -> bool:
        """True: the server says whether its index takes them."""
        return True

    def retriever(self, name: str) -> RemoteStage:
        """A first stage of the index. Raises InvalidInputError for a name that it does not have."""
        served = self._served()
        if name not in served.first_stages:
            raise InvalidInputError(
                f"the index {shown(served.name)} of the server has no first stage {shown(name)}: "
                f"use one of {', '.join(served.first_stages)}"
            )
        return RemoteStage(self._transport, served.name, name)

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """The documents with these ids, in their order; None for an unknown id."""
        return documents(self._transport.ask, self._served().name, ids)

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        """The hits as they are: those that a retriever returns have the scores of all stages."""
        return [list(hits) for hits in rankings]

    def matches(self, query: str, texts: Iterable[str]) -> list[list[Span]]:
        """Where in each text the words of the query stand, as ``Index.matches`` says."""
        asked = matches(self._served().name, query, texts)
        return [spans for call in asked for spans in self._transport.ask(call)]

    def filter_warnings(self, filter: Filter) -> Sequence[str]:
        """A sentence for each condition that no document can meet."""
        pages = of_filter(self._served().name, filter, after=None, limit=1)
        pages.read(self._transport.ask)
        return list(pages.warnings)

    def close(self) -> None:
        """Close all connections: later calls raise ServerError. A second call does nothing.

        Event loops close theirs soon after.
        """
        self._transport.close()
        self._async_transport.let_go()

    async def aclose(self) -> None:
        """``close``, and wait until the running event loop has closed its connections."""
        self._transport.close()
        await self._async_transport.close()

    def __enter__(self) -> RemoteSearcher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> RemoteSearcher:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _served(self) -> ServedIndex:
        """What the server says of the index, whose name may not have been given."""
        if self._known is None:
            served = {each.name: each for each in self._transport.ask(indexes())}
            name = self._index
            if name is None and len(served) != 1:
                raise InvalidInputError(
                    f"{self!r} names no index, and the server has {len(served)}: give one of "
                    f"{shown(sorted(served))} as index"
                )
            found = served.get(name) if name is not None else next(iter(served.values()))
            if found is None:
                raise IndexNotFoundError(
                    f"{self!r}: the server has no such index, only {shown(sorted(served))}"
                )
            self._index = found.name
            self._known = found
        return self._known


@dataclass(slots=True)
class RemoteStage:
    """A first stage of a server's index, as a Retriever. Its hits have documents and all scores."""

    transport: Transport
    index: str
    name: str

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best ``k`` hits for each query. Raises what ``RemoteSearcher.search`` raises."""
        options = SearchOptions(
            top_k=checked_k(k), first_stage=self.name, filter=filter, rerank=False
        )
        calls = searches(self.index, queries, options, model=None, text="full", stage_scores=True)
        return [list(each.hits) for call in calls for each in self.transport.ask(call)]
