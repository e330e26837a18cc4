"""An index as a LlamaIndex vector store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation, model_validator

from rerank_search.arguments import document_id, id_list, several
from rerank_search.built_in_stages import BM25, HYBRID
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchOptions, merged
from rerank_search.plugins.index_source import IndexGiven, IndexSource
from rerank_search.plugins.llama_index.filters import index_filter
from rerank_search.plugins.llama_index.nodes import (
    NODE_ID,
    SOURCE_ID,
    document_of,
    node_of,
    scored_nodes,
)
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RerankerGiven
from rerank_search.shown import shown
from rerank_search.types import Filter, SearchResponse

_FIRST_STAGES = {
    VectorStoreQueryMode.DEFAULT: None,
    VectorStoreQueryMode.HYBRID: HYBRID,
    VectorStoreQueryMode.TEXT_SEARCH: BM25,
    VectorStoreQueryMode.SPARSE: BM25,
}
_NOT_SUPPORTED = (
    "alpha",
    "mmr_threshold",
    "sparse_top_k",
    "hybrid_top_k",
    "output_fields",
    "embedding_field",
)


class RerankSearchVectorStore(BasePydanticVectorStore):
    """An index that stores nodes, found in two stages. Threads and event loops may share one.

        >>> store = RerankSearchVectorStore(index="indexes/notes")
        >>> found = store.query(VectorStoreQuery(query_str="how do I join two paths"))
        >>> found.ids
        ['os.path.join']

    ``index`` is an Index, which stays the user's to close, or the folder of one, which is opened at
    the first use. ``reranker`` is a model's name or folder, or a Reranker; None leaves the second
    stage out. The index encodes texts and queries itself: embeddings of nodes and of queries are
    not used.

    A query's mode says which first stage is used: DEFAULT the best of the index, HYBRID "hybrid",
    TEXT_SEARCH and SPARSE "bm25". All of ``SearchOptions`` but ``top_k`` can be given to ``query``,
    or as ``vector_store_kwargs`` to ``VectorStoreIndex.as_retriever``. Other modes, and arguments
    that only other stores have, are errors.
    """

    # Errors must not show a password in a URL, which pydantic would quote.
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    stores_text: Literal[True] = True
    is_embedding_query: Literal[False] = False
    index: SkipValidation[IndexGiven] = Field(frozen=True)
    reranker: SkipValidation[RerankerGiven | None] = Field(AUTO, frozen=True)

    _source: IndexSource = PrivateAttr()

    @model_validator(mode="after")
    def _with_source(self) -> RerankSearchVectorStore:
        self._source = IndexSource(self.index, self.reranker)
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in LlamaIndex's files."""
        return "RerankSearchVectorStore"

    @property
    def client(self) -> Index:
        """The index, which the first use opens. Raises what ``Index.open`` raises."""
        return self._source.index

    def close(self) -> None:
        """Close the index if it was opened here; the next use opens it again."""
        self._source.close()

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The arguments, as ``from_dict`` takes them.

        Raises InvalidInputError for an index or a reranker that is an object: give its folder.
        """
        return {**super().to_dict(**kwargs), **self._source.settings}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path; an Index is opened for reading."""
        _, (index, reranker) = self._source.__reduce__()
        return partial(type(self), index=index, reranker=reranker), ()

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes, or replace those with the same ids, and return their ids.

        ``batch_size`` is the number of nodes that are committed together. Raises what ``Index.add``
        raises.
        """
        documents = [document_of(node) for node in several("nodes", nodes, one="nodes")]
        if documents:
            self.client.add(documents, **kwargs)
        return [document.id for document in documents]

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """``add`` for asyncio."""
        return await asyncio.to_thread(partial(self.add, nodes, **kwargs))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes that are parts of a document; an unknown one is skipped."""
        _check_none("delete", delete_kwargs)
        source = document_id(ref_doc_id, "ref_doc_id")
        self.client.delete_matching({SOURCE_ID: source}, warn=False)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """``delete`` for asyncio."""
        await asyncio.to_thread(partial(self.delete, ref_doc_id, **delete_kwargs))

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """Delete nodes by id, or those that the filters allow, or those of which both is true.

        Unknown ids are skipped. Raises InvalidInputError for neither of them: ``clear`` deletes all
        nodes.
        """
        _check_none("delete_nodes", delete_kwargs)
        if filters is not None:
            self.client.delete_matching(self._allowed(index_filter(filters), node_ids))
        elif node_ids is not None:
            self.client.delete(node_ids)
        else:
            raise InvalidInputError(
                "delete_nodes needs node_ids or filters: call clear() to delete all nodes"
            )

    async def adelete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,
    ) -> None:
        """``delete_nodes`` for asyncio."""
        await asyncio.to_thread(partial(self.delete_nodes, node_ids, filters, **delete_kwargs))

    def clear(self) -> None:
        """Delete all nodes, and the documents that were added in other ways."""
        self.client.delete([*self.client.ids()])

    async def aclear(self) -> None:
        """``clear`` for asyncio."""
        await asyncio.to_thread(self.clear)

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """The nodes with these ids, in their order, or those that the filters allow, by id.

        Both together give the nodes of which both is true, by id; neither gives all nodes. Unknown
        ids are skipped.
        """
        if filters is None and node_ids is not None:
            found = self.client.documents(node_ids)
            return [node_of(each) for each in found if each is not None]
        return [*self._found(self._allowed(_filter(filters), node_ids))]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """``get_nodes`` for asyncio."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The best nodes for ``query_str``. Raises what ``Searcher.search`` raises."""
        text, options = self._asked(query, kwargs)
        return _result(self._source.searcher().search(text, options))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """``query`` for asyncio."""
        text, options = await asyncio.to_thread(self._asked, query, kwargs)
        searcher = await self._source.asearcher()
        return _result(await searcher.asearch(text, options))

    def _asked(
        self, query: VectorStoreQuery, arguments: dict[str, Any]
    ) -> tuple[str, SearchOptions]:
        """The text to search for, and how."""
        if not isinstance(query, VectorStoreQuery):
            raise InvalidInputError(f"query={shown(query)} is not a VectorStoreQuery: give one")
        if query.query_str is None:
            raise InvalidInputError(
                "the query has no query_str, and an index is searched by text: give it"
            )
        for name in _NOT_SUPPORTED:
            if (value := getattr(query, name)) is not None:
                raise InvalidInputError(
                    f"{name}={shown(value)} is not supported: leave it out, and give the options "
                    "of a search, such as candidates"
                )
        if query.mode not in _FIRST_STAGES:
            supported = ", ".join(repr(each.value) for each in _FIRST_STAGES)
            mode = getattr(query.mode, "value", query.mode)
            raise InvalidInputError(
                f"the mode {shown(mode)} is not supported: use one of {supported}"
            )
        given = renamed(
            {"similarity_top_k": query.similarity_top_k, **arguments}, similarity_top_k="top_k"
        )
        if (stage := _FIRST_STAGES[query.mode]) is not None:
            given = renamed({"mode": stage, **given}, mode="first_stage")
        conditions = [_filter(query.filters)]
        if (own := given.pop("filter", None)) is not None:
            conditions.append(own)
        if query.doc_ids is not None:
            conditions.append({SOURCE_ID: {"$in": id_list(query.doc_ids)}})
        # VectorStoreIndex gives an empty list of node_ids for no limit.
        allowed = self._allowed(_all(conditions), query.node_ids or None)
        return query.query_str, merged(
            None, {**given, "filter": None if allowed == {} else allowed}
        )

    def _allowed(self, filter: Filter, node_ids: Sequence[str] | None) -> Filter:
        """The filter, limited to nodes with these ids unless they are None.

        Raises InvalidInputError for the id of a document that was added in another way.
        """
        if node_ids is None:
            return filter
        for each in self.client.documents(node_ids):
            if each is not None and each.metadata.get(NODE_ID) != each.id:
                raise InvalidInputError(
                    f"the document {shown(each.id)} was not added as a node, so it cannot be named "
                    "in node_ids: leave them out, or add it by this store"
                )
        return _all([filter, {NODE_ID: {"$in": id_list(node_ids)}}])

    def _found(self, filter: Filter) -> Iterator[BaseNode]:
        """The nodes that the filter allows, ids ascending."""
        after = None
        while page := self.client.find(filter, after=after, limit=1_000, warn=after is None):
            yield from map(node_of, page)
            after = page[-1].id


def _filter(filters: MetadataFilters | None) -> Filter:
    return {} if filters is None else index_filter(filters)


def _all(filters: Sequence[Filter]) -> Filter:
    """The filter that allows what all of these allow."""
    given = [each for each in filters if each != {}]
    return given[0] if len(given) == 1 else {"$and": given} if given else {}


def _result(response: SearchResponse) -> VectorStoreQueryResult:
    found = scored_nodes(response)
    return VectorStoreQueryResult(
        nodes=[each.node for each in found],
        similarities=[each.get_score() for each in found],
        ids=[each.node_id for each in found],
    )


def _check_none(method: str, arguments: dict[str, Any]) -> None:
    if arguments:
        raise TypeError(f"{method}() has no argument {next(iter(arguments))!r}")
