"""A LlamaIndex index or retriever as a first stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.indices import VectorStoreIndex
from llama_index.core.schema import MetadataMode, NodeWithScore

from rerank_search.arguments import truth_value
from rerank_search.errors import InvalidInputError
from rerank_search.plugins import own_loop
from rerank_search.plugins.llama_index.store_filters import metadata_filters
from rerank_search.plugins.store_stage import Ask, Found, Scores, StoreStage
from rerank_search.shown import shown
from rerank_search.types import Filter

_LIMIT = "similarity_top_k"
"""Attribute in which LlamaIndex's retrievers have the number of nodes that they return."""


class LlamaIndexStage(StoreStage):
    """A LlamaIndex ``VectorStoreIndex`` or retriever as the first stage of a Searcher.

        >>> from llama_index.core import MockEmbedding, VectorStoreIndex
        >>> from llama_index.core.schema import TextNode
        >>> nodes = [TextNode(text=text, id_=text[:4]) for text in ("Join paths.", "Bake bread.")]
        >>> store = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=8))
        >>> searcher = Searcher(LlamaIndexStage(store))
        >>> searcher.search("how do I join two paths").hits[0].id
        'Join'

    A ``VectorStoreIndex``, also one over an external vector store, is asked for as many nodes as a
    search needs, and filters are translated into LlamaIndex's; one that cannot be translated is an
    error. A retriever has a limit of its own, which must be high enough: a ``similarity_top_k``
    that is too low is an error, and a limit that cannot be read is logged when it has an effect. A
    retriever takes no filters. ``asynchronous`` asks by ``aretrieve``.

    Nodes are ranked in the order in which they come, with the scores 1, 1/2, 1/3 and so on.
    ``scores`` "similarity" or "distance" takes the nodes' own scores, of which the highest or the
    lowest is the best; distances are negated.

    The document of a hit is a node: its text, its metadata, and its id, or with ``id_key`` the
    value of that metadata key. ``fold_chunks`` folds the nodes of one source document into one hit,
    for which the best node stands: those with the same ``id_key``, or without that with the same
    ``ref_doc_id``. Otherwise two nodes with one id are an error. ``title_key`` is the metadata key
    of the title, which is reranked with the text.

    Raises InvalidInputError for invalid arguments.
    """

    def __init__(
        self,
        store: VectorStoreIndex | BaseRetriever,
        name: str = "llama_index",
        *,
        scores: Scores | None = None,
        asynchronous: bool = False,
        id_key: str | None = None,
        fold_chunks: bool = False,
        title_key: str | None = None,
    ) -> None:
        super().__init__(
            name, scores=scores, id_key=id_key, fold_chunks=fold_chunks, title_key=title_key
        )
        if not isinstance(store, (VectorStoreIndex, BaseRetriever)):
            raise InvalidInputError(
                f"store={shown(store)} is neither a VectorStoreIndex nor a retriever of "
                "LlamaIndex: give one of them, such as VectorStoreIndex.from_vector_store(store)"
            )
        self._store = store
        self._asynchronous = truth_value("asynchronous", asynchronous)
        self._by_source = fold_chunks and id_key is None
        self.returns_what_is_asked = isinstance(store, VectorStoreIndex)

    def _ask(self, k: int, filter: Filter | None) -> Ask:
        store = self._store
        if isinstance(store, VectorStoreIndex):
            asked = {} if filter is None else {"filters": metadata_filters(filter)}

            def ask(query: str, limit: int) -> Sequence[Found]:
                return self._found(store.as_retriever(similarity_top_k=limit, **asked), query)

            return ask
        if filter is not None:
            raise self._unsupported(
                filter, "a retriever takes no filters. Give the VectorStoreIndex instead of it"
            )
        own: Any = getattr(store, _LIMIT, None)
        if isinstance(own, int) and own < k:
            raise self._too_few(f"its {_LIMIT}", own, k)
        return lambda query, _: self._found(store, query)

    def _found(self, retriever: BaseRetriever, query: str) -> list[Found]:
        if self._asynchronous:
            return [self._of_node(each) for each in own_loop.run(retriever.aretrieve(query))]
        with self._synchronous(retriever):
            return [self._of_node(each) for each in retriever.retrieve(query)]

    def _of_node(self, found: NodeWithScore) -> Found:
        node = found.node
        source = node.ref_doc_id if self._by_source else None
        text = node.get_content(MetadataMode.NONE)
        return Found(source or node.node_id, text, node.metadata, found.score)
