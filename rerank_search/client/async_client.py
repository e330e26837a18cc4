"""The client for asyncio."""

from __future__ import annotations

import asyncio
import random
import warnings
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from rerank_search.arguments import id_list
from rerank_search.client.base import BaseClient
from rerank_search.client.documents import deletion, deletions, uploads_async, written_with
from rerank_search.client.found import of_filter, of_ids
from rerank_search.client.indexes import ServedIndex, VectorSettings, creation, dropping, indexes
from rerank_search.client.matches import matches
from rerank_search.client.rerankers import ServedModel, models, ranking
from rerank_search.client.searches import searches
from rerank_search.client.transport import AsyncTransport
from rerank_search.errors import FilterWarning
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchArguments, SearchOptions, merged, shows_options
from rerank_search.types import Document, Filter, Hit, ReturnedText, SearchResponse, Span

if TYPE_CHECKING:
    from rerank_search.reranking.base import LongDocuments


class AsyncClient(BaseClient):
    """``Client`` for asyncio: the same methods, to be awaited.

    Coroutines may share one, also those of several event loops, one after the other or in several
    threads. Each loop has its own connections, and closes them when ``asyncio.run`` ends.

        >>> async with AsyncClient("http://127.0.0.1:8000", "notes") as client:
        ...     response = await client.search("how do I join two paths", top_k=2)
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
        super().__init__(
            base_url, index, api_key=api_key, timeout=timeout, retries=retries, random=_random
        )
        self._transport = AsyncTransport(self._endpoint, sleep=_sleep)

    @shows_options
    async def search(
        self,
        query: str,
        options: SearchOptions | None = None,
        *,
        model: str | None = None,
        text: ReturnedText = "full",
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """See ``Client.search``, also for what it raises."""
        [response] = await self.search_batch([query], options, model=model, text=text, **arguments)
        return response

    @shows_options
    async def search_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        *,
        model: str | None = None,
        text: ReturnedText = "full",
        **arguments: Unpack[SearchArguments],
    ) -> list[SearchResponse]:
        """See ``Client.search_batch``, also for what it raises."""
        asked = searches(self._index, queries, merged(options, arguments), model=model, text=text)
        return [response for call in asked for response in await self._transport.ask(call)]

    async def rank_texts(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_k: int = 10,
        long_documents: LongDocuments = "truncate",
        model: str | None = None,
        instruction: str | None = None,
    ) -> list[Hit]:
        """See ``Client.rank_texts``, also for what it raises."""
        call = ranking(
            query,
            texts,
            top_k=top_k,
            long_documents=long_documents,
            model=model,
            instruction=instruction,
        )
        return [] if call is None else await self._transport.ask(call)

    async def matches(self, query: str, texts: Iterable[str]) -> list[list[Span]]:
        """See ``Client.matches``, also for what it raises."""
        asked = matches(self._index, query, texts)
        return [spans for call in asked for spans in await self._transport.ask(call)]

    async def add(self, documents: Iterable[Document] | AsyncIterable[Document]) -> int:
        """See ``Client.add``, also for what it raises; takes asynchronous generators too."""
        written = 0
        async for call in uploads_async(self._index, documents):
            written = written_with(written, await self._transport.ask(call))
        return written

    async def delete(self, ids: Iterable[str | int] | AsyncIterable[str | int]) -> int:
        """See ``Client.delete``, also for what it raises; takes asynchronous generators too."""
        given = [id async for id in ids] if isinstance(ids, AsyncIterable) else ids
        return sum([await self._transport.ask(call) for call in deletions(self._index, given)])

    async def delete_matching(self, filter: Filter) -> int:
        """See ``Client.delete_matching``, also for what it raises."""
        done = await self._transport.ask(deletion(self._index, filter))
        for message in done.warnings:
            warnings.warn(message, FilterWarning, stacklevel=2)
        return done.deleted

    async def find(
        self, filter: Filter | None = None, *, after: str | int | None = None, limit: int = 100
    ) -> list[Document]:
        """See ``Client.find``, also for what it raises."""
        pages = of_filter(self._index, filter, after=after, limit=limit)
        while (call := pages.call) is not None:
            pages.take(await self._transport.ask(call))
        for message in pages.warnings:
            warnings.warn(message, FilterWarning, stacklevel=2)
        return pages.documents

    async def get(self, id: str | int) -> Document | None:
        """See ``Client.get``, also for what it raises."""
        [found] = await self.documents([id])
        return found

    async def documents(self, ids: Iterable[str | int]) -> list[Document | None]:
        """See ``Client.documents``, also for what it raises."""
        wanted = id_list(ids)
        found: dict[str, Document] = {}
        for pages in of_ids(self._index, wanted):
            while (call := pages.call) is not None:
                pages.take(await self._transport.ask(call))
            found |= {each.id: each for each in pages.documents}
        return [found.get(id) for id in wanted]

    async def create_index(
        self,
        name: str,
        *,
        encoder: str | None = AUTO,
        analyzer: str = "english",
        first_stages: Sequence[str] = (),
        **vectors: Unpack[VectorSettings],
    ) -> ServedIndex:
        """See ``Client.create_index``, also for what it raises."""
        return await self._transport.ask(
            creation(name, encoder=encoder, analyzer=analyzer, first_stages=first_stages, **vectors)
        )

    async def drop_index(self, name: str) -> None:
        """See ``Client.drop_index``, also for what it raises."""
        await self._transport.ask(dropping(name))

    async def indexes(self) -> list[ServedIndex]:
        """See ``Client.indexes``, also for what it raises."""
        return await self._transport.ask(indexes())

    async def models(self) -> list[ServedModel]:
        """See ``Client.models``, also for what it raises."""
        return await self._transport.ask(models())

    async def close(self) -> None:
        """Close the connections: later calls raise ServerError. A second call does nothing.

        Other event loops that still run close their connections soon after.
        """
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
