"""The client whose methods wait for the server."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from rerank_search.client.base import BaseClient
from rerank_search.client.documents import deletion, deletions, uploads, written_with
from rerank_search.client.found import documents, of_filter
from rerank_search.client.indexes import ServedIndex, VectorSettings, creation, dropping, indexes
from rerank_search.client.matches import matches
from rerank_search.client.rerankers import ServedModel, models, ranking
from rerank_search.client.searches import searches
from rerank_search.client.transport import Transport
from rerank_search.errors import FilterWarning
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchArguments, SearchOptions, merged, shows_options
from rerank_search.types import Document, Filter, Hit, ReturnedText, SearchResponse, Span

if TYPE_CHECKING:
    from rerank_search.reranking.base import LongDocuments


class Client(BaseClient):
    """A client of a server, with the methods of ``Searcher``. Threads may share one.

    ``index`` is the name of the index that is searched and changed; a search may leave it out if
    the server has only one. ``timeout`` is the number of seconds that connecting may take, and
    that the server may be silent. An attempt that the server refuses for now (429, 503), or whose
    connection breaks, is repeated up to ``retries`` times. The waits between attempts grow, and
    follow what the server asks for; all together they are at most ``timeout * retries``.

        >>> with Client("http://127.0.0.1:8000", "notes") as client:
        ...     response = client.search("how do I join two paths", top_k=2)
        >>> [hit.id for hit in response.hits]
        ['os.path.join', 'str.join']

    Raises InvalidInputError for arguments that cannot be used. Every method that calls the server
    raises ServerError if the server cannot be reached, is overloaded or refuses the key, and the
    library's own errors (IndexNotFoundError, InvalidInputError ...) if it answers with these.
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
        super().__init__(
            base_url, index, api_key=api_key, timeout=timeout, retries=retries, random=_random
        )
        self._transport = Transport(self._endpoint, sleep=_sleep)

    @shows_options
    def search(
        self,
        query: str,
        options: SearchOptions | None = None,
        *,
        model: str | None = None,
        text: ReturnedText = "full",
        **arguments: Unpack[SearchArguments],
    ) -> SearchResponse:
        """The best ``top_k`` documents for the query, as ``Searcher.search`` finds them.

        ``model`` names a reranker of ``models``, by default the first. ``text`` "passage" transfers
        of each document's text only its best passage, "none" nothing of it. If the reranker fails,
        the response is that of the first stage, with the reason in ``degraded``. Raises
        InvalidInputError, IndexNotFoundError, ModelNotFoundError, SearchIndexError, ServerError.
        """
        [response] = self.search_batch([query], options, model=model, text=text, **arguments)
        return response

    @shows_options
    def search_batch(
        self,
        queries: Iterable[str],
        options: SearchOptions | None = None,
        *,
        model: str | None = None,
        text: ReturnedText = "full",
        **arguments: Unpack[SearchArguments],
    ) -> list[SearchResponse]:
        """``search`` for many queries, at most 32 a request; one response each, in their order."""
        asked = searches(self._index, queries, merged(options, arguments), model=model, text=text)
        return [response for call in asked for response in self._transport.ask(call)]

    def rank_texts(
        self,
        query: str,
        texts: Iterable[str],
        *,
        top_k: int = 10,
        long_documents: LongDocuments = "truncate",
        model: str | None = None,
        instruction: str | None = None,
    ) -> list[Hit]:
        """The best ``top_k`` of the texts by the server's reranker; a hit's id is its position.

        Unlike in ``rerank_search.rank_texts``, ``Hit.score`` is the relevance in [0, 1], not the
        logit, and there are no ``stage_scores`` and no ``span``. All texts are reranked; the
        server limits their number, by default to 1,000. ``instruction`` says what makes a text
        relevant, to a reranker that takes one.

        A blank query or no texts give no hits. Raises InvalidInputError, RerankError,
        ModelNotFoundError, ServerError.
        """
        call = ranking(
            query,
            texts,
            top_k=top_k,
            long_documents=long_documents,
            model=model,
            instruction=instruction,
        )
        return [] if call is None else self._transport.ask(call)

    def matches(self, query: str, texts: Iterable[str]) -> list[list[Span]]:
        """Where in each text the words of the query stand, as ``Index.matches`` says.

        The server limits a text, by default to 1,000,000 characters. Raises IndexNotFoundError,
        InvalidInputError, SearchIndexError, ServerError.
        """
        asked = matches(self._index, query, texts)
        return [spans for call in asked for spans in self._transport.ask(call)]

    def add(self, documents: Iterable[Document]) -> int:
        """Insert documents, or replace those with the same id; returns how many were written.

        Streams: ``documents`` may be a generator of more than fits in memory. They are sent some
        MB at a time; what the server has confirmed is durable. A document that is stored already,
        unchanged, is not written again, so that after an error all can be added again.

        Raises InvalidDocumentError (if the client finds the document, nothing of its batch is
        written; if the server does, the message says what is), IndexNotFoundError,
        IndexLockedError, IndexReadOnlyError, StorageFullError, InvalidInputError, ServerError.
        """
        written = 0
        for call in uploads(self._index, documents):
            written = written_with(written, self._transport.ask(call))
        return written

    def delete(self, ids: Iterable[str | int]) -> int:
        """Delete documents; unknown ids are skipped. Returns how many were deleted.

        Raises IndexNotFoundError, IndexLockedError, IndexReadOnlyError, StorageFullError,
        InvalidInputError, ServerError.
        """
        return sum(self._transport.ask(call) for call in deletions(self._index, ids))

    def delete_matching(self, filter: Filter) -> int:
        """Delete every document that the filter allows; returns how many were deleted.

        Issues a FilterWarning for a key that no document has. Raises InvalidInputError, also for
        ``{}``, which allows every document, and what ``delete`` raises.
        """
        done = self._transport.ask(deletion(self._index, filter))
        for message in done.warnings:
            warnings.warn(message, FilterWarning, stacklevel=2)
        return done.deleted

    def find(
        self, filter: Filter | None = None, *, after: str | int | None = None, limit: int = 100
    ) -> list[Document]:
        """The first ``limit`` documents that the filter allows, as ``Index.find`` returns them.

        Issues a FilterWarning for a key that no document has. Raises IndexNotFoundError,
        InvalidInputError, SearchIndexError, ServerError.
        """
        pages = of_filter(self._index, filter, after=after, limit=limit)
        pages.read(self._transport.ask)
        for message in pages.warnings:
            warnings.warn(message, FilterWarning, stacklevel=2)
        return pages.documents

    def get(self, id: str | int) -> Document | None:
        """The document, or None for an unknown id. Raises what ``find`` raises."""
        return self.documents([id])[0]

    def documents(self, ids: Iterable[str | int]) -> list[Document | None]:
        """The documents, in the order of ``ids``; None for an unknown id.

        At most 1,000 a request. Raises what ``find`` raises.
        """
        return documents(self._transport.ask, self._index, ids)

    def create_index(
        self,
        name: str,
        *,
        encoder: str | None = AUTO,
        analyzer: str = "english",
        first_stages: Sequence[str] = (),
        **vectors: Unpack[VectorSettings],
    ) -> ServedIndex:
        """Make an empty index on the server; ``encoder=None`` leaves the vectors out.

        ``first_stages`` names further first stages, which packages installed there add.
        ``vectors`` are further arguments of ``Index.create``: dimension, query_prompt,
        document_prompt, truncate_dim, vector_dtype, hybrid and stop_words.
        Not repeated if its answer was lost. Raises IndexExistsError, InvalidInputError,
        ModelNotFoundError, IndexReadOnlyError, StorageFullError, ServerError.
        """
        return self._transport.ask(
            creation(name, encoder=encoder, analyzer=analyzer, first_stages=first_stages, **vectors)
        )

    def drop_index(self, name: str) -> None:
        """Delete an index of the server, with all its documents.

        Not repeated if its answer was lost. Raises IndexNotFoundError, IndexLockedError (also
        while requests use it), IndexReadOnlyError, InvalidInputError, ServerError.
        """
        self._transport.ask(dropping(name))

    def indexes(self) -> list[ServedIndex]:
        """The indexes of the server. Raises SearchIndexError, ServerError."""
        return self._transport.ask(indexes())

    def models(self) -> list[ServedModel]:
        """The rerankers of the server; the first is the default.

        Raises ServerError.
        """
        return self._transport.ask(models())

    def close(self) -> None:
        """Close the connections: later calls raise ServerError. A second call does nothing."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
