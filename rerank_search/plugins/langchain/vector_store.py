"""An index as a LangChain vector store."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import Any, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from rerank_search.arguments import document_id, objects, several
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchOptions, merged
from rerank_search.plugins.found import found_document, tell
from rerank_search.plugins.index_source import IndexGiven, IndexSource
from rerank_search.plugins.langchain.documents import document
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RerankerGiven
from rerank_search.queries import text_list
from rerank_search.shown import shown
from rerank_search.types import Document as IndexedDocument
from rerank_search.types import Filter, SearchResponse

Item = TypeVar("Item")

K = 4
"""Number of documents to return, as in every LangChain vector store."""


class RerankSearchVectorStore(VectorStore):
    """An index, found in two stages. Threads and event loops may share one.

        >>> store = RerankSearchVectorStore("indexes/notes")
        >>> [found.id for found in store.similarity_search("how do I join two paths", k=1)]
        ['os.path.join']

    ``index`` is an Index, which stays the user's to close, or the folder of one, which is opened at
    the first use. ``reranker`` is a model's name or folder, or a Reranker; None leaves the second
    stage out. The index has an encoder of its own, so there are no ``embeddings``.

    Searches take ``k``, ``filter`` and the other ``SearchOptions``. Documents come back as they
    were added; ``similarity_search_with_score`` returns their scores beside them. LangChain's
    ``index()`` works with it.
    """

    def __init__(
        self,
        index: IndexGiven,
        *,
        reranker: RerankerGiven | None = AUTO,
    ) -> None:
        self._source = IndexSource(index, reranker)

    @property
    def index(self) -> Index:
        """The index, which the first use opens. Raises what ``Index.open`` raises."""
        return self._source.index

    def close(self) -> None:
        """Close the index if it was opened here; the next use opens it again."""
        self._source.close()

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **arguments: Any,
    ) -> list[str]:
        """Add texts, or replace those with the same ids, and return their ids.

        A text without an id gets a random one. ``batch_size`` is the number of texts that are
        committed together. Raises InvalidInputError for lists of different lengths, and what
        ``Index.add`` raises.
        """
        given = text_list(texts)
        names = [
            str(uuid.uuid4()) if id is None else document_id(id)
            for id in _for_each(given, "ids", ids, None)
        ]
        documents = [
            IndexedDocument(id, text, metadata=metadata)
            for id, text, metadata in zip(
                names, given, _for_each(given, "metadatas", metadatas, {}), strict=True
            )
        ]
        self.index.add(documents, **arguments)
        return names

    def add_documents(self, documents: list[Document], **arguments: Any) -> list[str]:
        """Add documents, or replace those with the same ids; see ``add_texts``."""
        return super().add_documents(_documents(documents), **arguments)

    async def aadd_documents(self, documents: list[Document], **arguments: Any) -> list[str]:
        """``add_documents`` for asyncio."""
        return await super().aadd_documents(_documents(documents), **arguments)

    def delete(self, ids: list[str] | None = None, **arguments: Any) -> bool:
        """Delete documents by id, or all of them for None; unknown ids are skipped."""
        if arguments:
            raise TypeError(f"delete() has no argument {next(iter(arguments))!r}")
        index = self.index
        index.delete(list(index.ids()) if ids is None else ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents with these ids, in their order, without those that do not exist."""
        found = self.index.documents(ids)
        return [document(each) for each in found if each is not None]

    def similarity_search(
        self, query: str, k: int = K, filter: Filter | None = None, **arguments: Any
    ) -> list[Document]:
        """The best ``k`` documents. Raises what ``Searcher.search`` raises."""
        found = self.similarity_search_with_score(query, k, filter, **arguments)
        return [document for document, _ in found]

    def similarity_search_with_score(
        self, query: str, k: int = K, filter: Filter | None = None, **arguments: Any
    ) -> list[tuple[Document, float]]:
        """The best ``k`` documents with the scores they are sorted by, higher is better."""
        options = _options(k, filter, arguments)
        return _with_scores(self._source.searcher().search(query, options))

    async def asimilarity_search(
        self, query: str, k: int = K, filter: Filter | None = None, **arguments: Any
    ) -> list[Document]:
        """``similarity_search`` for asyncio."""
        found = await self.asimilarity_search_with_score(query, k, filter, **arguments)
        return [document for document, _ in found]

    async def asimilarity_search_with_score(
        self, query: str, k: int = K, filter: Filter | None = None, **arguments: Any
    ) -> list[tuple[Document, float]]:
        """``similarity_search_with_score`` for asyncio."""
        options = _options(k, filter, arguments)
        searcher = await self._source.asearcher()
        return _with_scores(await searcher.asearch(query, options))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = K, **arguments: Any
    ) -> list[Document]:
        """Not supported, because an index encodes queries itself. Raises NotImplementedError."""
        raise NotImplementedError(
            "an index encodes queries itself and is not searched by vectors: give "
            "similarity_search the query"
        )

    def max_marginal_relevance_search(
        self, query: str, k: int = K, *given: Any, **arguments: Any
    ) -> list[Document]:
        """Not supported: collapse near-duplicates instead. Raises NotImplementedError."""
        raise NotImplementedError(
            "max_marginal_relevance_search is not supported: call similarity_search with "
            "collapse_duplicates=True"
        )

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = K, **arguments: Any
    ) -> list[tuple[Document, float]]:
        """Documents with their probabilities; LangChain applies ``score_threshold`` to these."""
        options = _options(k, arguments.pop("filter", None), arguments)
        return _with_relevance(self._source.searcher().search(query, options))

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = K, **arguments: Any
    ) -> list[tuple[Document, float]]:
        options = _options(k, arguments.pop("filter", None), arguments)
        searcher = await self._source.asearcher()
        return _with_relevance(await searcher.asearch(query, options))

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: str | PathLike[str] | None = None,
        reranker: RerankerGiven | None = AUTO,
        **arguments: Any,
    ) -> RerankSearchVectorStore:
        """Make an index of the texts in a new folder ``index``.

        ``embedding`` must be None, because the index encodes texts itself. Further arguments are
        those of ``Index.create``: ``encoder`` is the name of its model. Raises InvalidInputError,
        and what ``Index.create`` and ``add_texts`` raise.
        """
        if embedding is not None:
            raise InvalidInputError(
                f"embedding={shown(embedding)} cannot be used, because an index encodes texts "
                "itself: give embedding=None, and encoder= with the name of a model"
            )
        if index is None:
            raise InvalidInputError("from_texts needs index=, the folder of the new index")
        Index.create(index, **arguments).close()
        store = cls(index, reranker=reranker)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def __repr__(self) -> str:
        return repr(self._source).replace("IndexSource", "RerankSearchVectorStore", 1)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path; an Index is opened for reading."""
        _, (index, reranker) = self._source.__reduce__()
        return partial(RerankSearchVectorStore, reranker=reranker), (index,)


def _documents(given: Iterable[object]) -> list[Document]:
    return objects("documents", given, Document, of=" of LangChain")


def _for_each(
    texts: Sequence[str], name: str, given: Iterable[Item] | None, default: Item
) -> list[Item]:
    """What is given for each text, or the default. Raises InvalidInputError."""
    if given is None:
        return [default] * len(texts)
    listed = list(several(name, given, one="entries"))
    if len(listed) != len(texts):
        raise InvalidInputError(
            f"{name} has {len(listed)} entries for {len(texts)} texts: give one for each"
        )
    return listed


def _options(k: int, filter: Filter | None, arguments: Mapping[str, Any]) -> SearchOptions:
    """The options of a search; ``top_k`` is another name of ``k``, as everywhere else."""
    own = {} if "top_k" in arguments and k == K else {"k": k}
    return merged(None, {"filter": filter, **renamed({**own, **arguments}, k="top_k")})


def _with_scores(response: SearchResponse) -> list[tuple[Document, float]]:
    tell(response)
    return [(document(found_document(hit)), hit.score) for hit in response.hits]


def _with_relevance(response: SearchResponse) -> list[tuple[Document, float]]:
    tell(response)
    found = []
    for hit in response.hits:
        if hit.relevance is None:
            raise InvalidInputError(
                "relevance scores need a calibrated reranker, and hits have none: run "
                "`rerank-search calibrate`, or use similarity_search_with_score"
            )
        found.append((document(found_document(hit)), hit.relevance))
    return found
