"""The two clients: the same calls, sent by a thread that waits or by a coroutine."""

from __future__ import annotations

import asyncio
import random
import time
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2

from rerank_search.client import calls
from rerank_search.client.calls import Call, ServedIndex, ServedModel
from rerank_search.client.exchange import Exchange, Outcome, Server
from rerank_search.errors import FilterWarning
from rerank_search.models.registry import DEFAULT_ENCODER
from rerank_search.processes import PerProcess
from rerank_search.shown import shown
from rerank_search.types import Document, Filter, Hit, ReturnedText, SearchResponse

if TYPE_CHECKING:
    from rerank_search.reranking.base import LongDocuments

Result = TypeVar("Result")


class Client:
    """Searches by a server, with the methods of ``Searcher``. Threads may share one.

    ``index`` is the name of the one that is searched and changed; to search it may be None where
    the server has one only. ``timeout`` are the seconds that an attempt may take to connect, and
    the server to be silent. An attempt that the server had no room for (429, 503), or whose
    connection broke, is repeated up to ``retries`` times, after a wait that grows, or that the
    server asks for; all waits together are at most ``timeout * retries``.

    >>> with Client("http://127.0.0.1:8000", "docs") as client:
    ...     response = client.search("how do I join two paths", top_k=3)
    >>> [hit.id for hit in response.hits]
    ['os.path.join', 'posixpath.join', 'pathlib.PurePath.joinpath']

    Raises InvalidInputError for arguments that cannot be used. Every method that asks the server
    raises ServerError where it cannot be reached, is overloaded, or refuses the key, and the
    library's own errors (IndexNotFoundError, InvalidInputError ...) where it answers with these.
    """

    def __init__(
        self,
        base_url: str,
        index: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        _sleep: Callable[[float], None] = time.sleep,
        _random: Callable[[], float] = random.random,
    ) -> None:
        self._server = Server(
            base_url, api_key=api_key, timeout=timeout, retries=retries, random=_random
        )
        self._index = None if index is None else calls.index_name(index)
        self._sleep = _sleep
        self._http = PerProcess(
            lambda: httpx2.Client(headers=self._server.headers, timeout=self._server.timeout)
        )

    def search(
        self,
        query: str,
        *,
        top_k: int = 10,
        candidates: int = 100,
        first_stage: str | None = None,
        filter: Filter | None = None,
        rerank: bool = True,
        budget_ms: float | None = None,
        min_relevance: float | None = None,
        model: str | None = None,
        text: ReturnedText = "full",
    ) -> SearchResponse:
        """The best ``top_k`` documents for the query, as ``Searcher.search`` finds them.

        ``model`` names a reranker of ``models``, by default the first. ``text`` "passage" transfers
        of each document's text its best passage alone, "none" nothing of it. Where the reranker
        fails, the response is that of the first stage, with the reason in ``degraded``. Raises
        InvalidInputError, IndexNotFoundError, ModelNotFoundError, SearchIndexError, ServerError.
        """
        return self.search_batch(
            [query],
            top_k=top_k,
            candidates=candidates,
            first_stage=first_stage,
            filter=filter,
            rerank=rerank,
            budget_ms=budget_ms,
            min_relevance=min_relevance,
            model=model,
            text=text,
        )[0]

    def search_batch(
        self,
        queries: Iterable[str],
        *,
        top_k: int = 10,
        candidates: int = 100,
        first_stage: str | None = None,
        filter: Filter | None = None,
        rerank: bool = True,
        budget_ms: float | None = None,
        min_relevance: float | None = None,
        model: str | None = None,
        text: ReturnedText = "full",
    ) -> list[SearchResponse]:
        """``search`` for many queries, at most 32 a request; one response each, in their order."""
        asked = calls.searches(
            self._index,
            queries,
            top_k=top_k,
            candidates=candidates,
            first_stage=first_stage,
            filter=filter,
            rerank=rerank,
            budget_ms=budget_ms,
            min_relevance=min_relevance,
            model=model,
            text=text,
        )
        return [response for call in asked for response in self._ask(call)]

    def rank_texts(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_k: int = 10,
        long_documents: LongDocuments = "truncate",
        model: str | None = None,
    ) -> list[Hit]:
        """The best ``top_k`` of the texts by the server's reranker; a hit's id is its position.

        Unlike that of ``rerank_search.rank_texts``, ``Hit.score`` is the relevance in [0, 1] and
        not the logit, there are no ``stage_scores`` and no ``span``, and all texts are reranked:
        the server says how many it takes (1,000, if not set otherwise).

        A blank query or no texts give no hits. Raises InvalidInputError, RerankError,
        ModelNotFoundError, ServerError.
        """
        call = calls.ranking(query, texts, top_k=top_k, long_documents=long_documents, model=model)
        return [] if call is None else self._ask(call)

    def add(self, documents: Iterable[Document]) -> int:
        """Insert documents, or replace those whose id is there; returns how many were written.

        Streams: ``documents`` may be a generator of more than fits in memory. They are sent some
        MB at a time; what the server has confirmed is durable. A document that is stored already,
        unchanged, is not written, so that after an error all can be added again.

        Raises InvalidDocumentError (of that batch nothing is written, or where the server has
        found it what the message says), IndexNotFoundError, IndexLockedError,
        IndexReadOnlyError, StorageFullError, InvalidInputError, ServerError.
        """
        written = 0
        for call in calls.uploads(self._index, documents):
            written = calls.written(written, self._ask(call))
        return written

    def delete(self, ids: Iterable[str | int]) -> int:
        """Delete documents; unknown ids are passed over. Returns how many were deleted.

        Raises IndexNotFoundError, IndexLockedError, IndexReadOnlyError, StorageFullError,
        InvalidInputError, ServerError.
        """
        return sum(self._ask(call) for call in calls.deletions(self._index, ids))

    def delete_matching(self, filter: Filter) -> int:
        """Delete every document that the filter allows; returns how many were deleted.

        Issues a FilterWarning for a key that no document has. Raises InvalidInputError, also for
        ``{}``, which allows all of them; else as ``delete``.
        """
        done = self._ask(calls.deletion(self._index, filter))
        for message in done.warnings:
            warnings.warn(message, FilterWarning, stacklevel=2)
        return done.deleted

    def create_index(
        self, name: str, *, encoder: str | None = DEFAULT_ENCODER, analyzer: str = "english"
    ) -> ServedIndex:
        """Make an empty index on the server; ``encoder=None`` leaves the vectors out.

        Not repeated where its answer was lost. Raises IndexExistsError, InvalidInputError,
        ModelNotFoundError, IndexReadOnlyError, StorageFullError, ServerError.
        """
        return self._ask(calls.creation(name, encoder=encoder, analyzer=analyzer))

    def indexes(self) -> list[ServedIndex]:
        """The indexes of the server. Raises SearchIndexError, ServerError."""
        return self._ask(calls.indexes())

    def models(self) -> list[ServedModel]:
        """The rerankers of the server, the one that is taken by default first.

        Raises ServerError.
        """
        return self._ask(calls.models())

    def close(self) -> None:
        """Release the connections; harmless to repeat."""
        self._http.get().close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as address and settings. Raises InvalidInputError for a client with a key."""
        return partial(Client, **self._server.settings), (self._server.url, self._index)

    def __repr__(self) -> str:
        return f"Client({shown(self._server.url)}, {shown(self._index)})"

    def _ask(self, call: Call[Result]) -> Result:
        exchange = Exchange(self._server, call)
        while True:
            outcome: Outcome
            try:
                outcome = self._http.get().request(
                    call.method, exchange.url, content=call.content, headers=call.headers
                )
            except httpx2.RequestError as error:
                outcome = error
            if (seconds := exchange.wait(outcome)) is None:
                return exchange.result(outcome)
            self._sleep(seconds)


class AsyncClient:
    """``Client`` for asyncio: the same methods, to be awaited. Coroutines of a loop may share one.

    >>> async with AsyncClient("http://127.0.0.1:8000", "docs") as client:
    ...     response = await client.search("how do I join two paths", top_k=3)
    """

    def __init__(
        self,
        base_url: str,
        index: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
        _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        _random: Callable[[], float] = random.random,
    ) -> None:
        self._server = Server(
            base_url, api_key=api_key, timeout=timeout, retries=retries, random=_random
        )
        self._index = None if index is None else calls.index_name(index)
        self._sleep = _sleep
        self._http = PerProcess(
            lambda: httpx2.AsyncClient(headers=self._server.headers, timeout=self._server.timeout)
        )

    async def search(
        self,
        query: str,
        *,
        top_k: int = 10,
        candidates: int = 100,
        first_stage: str | None = None,
        filter: Filter | None = None,
        rerank: bool = True,
        budget_ms: float | None = None,
        min_relevance: float | None = None,
        model: str | None = None,
        text: ReturnedText = "full",
    ) -> SearchResponse:
        """See ``Client.search``, also for what it raises."""
        [response] = await self.search_batch(
            [query],
            top_k=top_k,
            candidates=candidates,
            first_stage=first_stage,
            filter=filter,
            rerank=rerank,
            budget_ms=budget_ms,
            min_relevance=min_relevance,
            model=model,
            text=text,
        )
        return response

    async def search_batch(
        self,
        queries: Iterable[str],
        *,
        top_k: int = 10,
        candidates: int = 100,
        first_stage: str | None = None,
        filter: Filter | None = None,
        rerank: bool = True,
        budget_ms: float | None = None,
        min_relevance: float | None = None,
        model: str | None = None,
        text: ReturnedText = "full",
    ) -> list[SearchResponse]:
        """See ``Client.search_batch``, also for what it raises."""
        asked = calls.searches(
            self._index,
            queries,
            top_k=top_k,
            candidates=candidates,
            first_stage=first_stage,
            filter=filter,
            rerank=rerank,
            budget_ms=budget_ms,
            min_relevance=min_relevance,
            model=model,
            text=text,
        )
        return [response for call in asked for response in await self._ask(call)]

    async def rank_texts(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_k: int = 10,
        long_documents: LongDocuments = "truncate",
        model: str | None = None,
    ) -> list[Hit]:
        """See ``Client.rank_texts``, also for what it raises."""
        call = calls.ranking(query, texts, top_k=top_k, long_documents=long_documents, model=model)
        return [] if call is None else await self._ask(call)

    async def add(self, documents: Iterable[Document] | AsyncIterable[Document]) -> int:
        """See ``Client.add``, also for what it raises; takes asynchronous generators too."""
        written = 0
        async for call in calls.uploads_async(self._index, documents):
            written = calls.written(written, await self._ask(call))
        return written

    async def delete(self, ids: Iterable[str | int] | AsyncIterable[str | int]) -> int:
        """See ``Client.delete``, also for what it raises; takes asynchronous generators too."""
        given = [id async for id in ids] if isinstance(ids, AsyncIterable) else ids
        return sum([await self._ask(call) for call in calls.deletions(self._index, given)])

    async def delete_matching(self, filter: Filter) -> int:
        """See ``Client.delete_matching``, also for what it raises."""
        done = await self._ask(calls.deletion(self._index, filter))
        for message in done.warnings:
            warnings.warn(message, FilterWarning, stacklevel=2)
        return done.deleted

    async def create_index(
        self, name: str, *, encoder: str | None = DEFAULT_ENCODER, analyzer: str = "english"
    ) -> ServedIndex:
        """See ``Client.create_index``, also for what it raises."""
        return await self._ask(calls.creation(name, encoder=encoder, analyzer=analyzer))

    async def indexes(self) -> list[ServedIndex]:
        """See ``Client.indexes``, also for what it raises."""
        return await self._ask(calls.indexes())

    async def models(self) -> list[ServedModel]:
        """See ``Client.models``, also for what it raises."""
        return await self._ask(calls.models())

    async def close(self) -> None:
        """Release the connections; harmless to repeat."""
        await self._http.get().aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as address and settings. Raises InvalidInputError for a client with a key."""
        return partial(AsyncClient, **self._server.settings), (self._server.url, self._index)

    def __repr__(self) -> str:
        return f"AsyncClient({shown(self._server.url)}, {shown(self._index)})"

    async def _ask(self, call: Call[Result]) -> Result:
        exchange = Exchange(self._server, call)
        while True:
            outcome: Outcome
            try:
                outcome = await self._http.get().request(
                    call.method, exchange.url, content=call.content, headers=call.headers
                )
            except httpx2.RequestError as error:
                outcome = error
            if (seconds := exchange.wait(outcome)) is None:
                return exchange.result(outcome)
            await self._sleep(seconds)
