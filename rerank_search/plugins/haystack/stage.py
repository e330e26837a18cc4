"""A Haystack retriever, with its document store, as a first stage."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from rerank_search.errors import InvalidInputError, PluginError
from rerank_search.plugins.haystack.store_filters import haystack_filters
from rerank_search.plugins.store_stage import Ask, Found, Scores, StoreStage
from rerank_search.shown import shown
from rerank_search.types import Filter


class HaystackStage(StoreStage):
    """A Haystack retriever, with the document store that it has, as a Searcher's first stage.

        >>> from haystack import Document as Text
        >>> from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
        >>> from haystack.document_stores.in_memory import InMemoryDocumentStore
        >>> store = InMemoryDocumentStore()
        >>> texts = ["Join two paths.", "Bake bread.", "Run a shell command."]
        >>> _ = store.write_documents([Text(id=text[:4], content=text) for text in texts])
        >>> searcher = Searcher(HaystackStage(InMemoryBM25Retriever(store)))
        >>> searcher.search("how do I join two paths").hits[0].id
        'Join'

    ``retriever`` is any component that takes a ``query`` and returns ``documents``. One that takes
    a ``query_embedding`` also needs its ``text_embedder``. The retriever is asked for as many
    documents as a search needs if it takes ``top_k``; otherwise its own limit must be high enough,
    and is logged when it has an effect. Filters are translated into Haystack's and passed as
    ``filters``, together with the retriever's own; one that cannot be translated is an error.

    Documents are ranked in the retriever's order, with the scores 1, 1/2, 1/3 and so on. ``scores``
    "similarity" or "distance" takes the documents' own scores, of which the highest or the lowest
    is the best; distances are negated.

    A document's id is its ``id``, or with ``id_key`` the value of that metadata key. Two results
    with one id are an error, unless ``fold_chunks`` says that they are chunks of one document: the
    best chunk stands for it. ``title_key`` is the metadata key of the title, which is reranked with
    the text. Documents keep all of their metadata.

    Raises InvalidInputError for invalid arguments.
    """

    def __init__(
        self,
        retriever: Any,
        name: str = "haystack",
        *,
        text_embedder: Any = None,
        scores: Scores | None = None,
        id_key: str | None = None,
        fold_chunks: bool = False,
        title_key: str | None = None,
    ) -> None:
        super().__init__(
            name, scores=scores, id_key=id_key, fold_chunks=fold_chunks, title_key=title_key
        )
        self._inputs = _inputs("retriever", retriever)
        self._retriever = retriever
        self._embedder = text_embedder
        self.returns_what_is_asked = "top_k" in self._inputs
        if "query_embedding" in self._inputs and text_embedder is None:
            raise InvalidInputError(
                f"{type(retriever).__name__} searches by a vector: give text_embedder too, the "
                "component that embeds queries as the documents were embedded"
            )
        if text_embedder is not None:
            _inputs("text_embedder", text_embedder)
        if not {"query", "query_embedding"} & self._inputs.keys():
            raise InvalidInputError(
                f"retriever={shown(retriever)} takes neither query nor query_embedding: give a "
                "component that finds documents for a query"
            )
        if text_embedder is not None and "query_embedding" not in self._inputs:
            raise InvalidInputError(
                f"{type(retriever).__name__} does not search by a vector: leave text_embedder out"
            )

    def _ask(self, k: int, filter: Filter | None) -> Ask:
        asked = {} if filter is None else {"filters": self._filters(filter)}

        def ask(query: str, limit: int) -> Sequence[Found]:
            top_k = {"top_k": limit} if self.returns_what_is_asked else {}
            return self._asked({**self._query(query), **asked, **top_k})

        return ask

    def _query(self, query: str) -> dict[str, Any]:
        given = {"query": query} if "query" in self._inputs else {}
        if self._embedder is not None:
            return {**given, "query_embedding": self._embedder.run(text=query)["embedding"]}
        return given

    def _filters(self, filter: Filter) -> dict[str, Any]:
        if "filters" not in self._inputs:
            raise self._unsupported(
                filter, f"{type(self._retriever).__name__} takes no filters. Leave the filter out"
            )
        translated = haystack_filters(filter)
        own = getattr(self._retriever, "filters", None)
        # By default the filters of a call replace the retriever's own.
        return {"operator": "AND", "conditions": [own, translated]} if own else translated

    def _asked(self, inputs: dict[str, Any]) -> list[Found]:
        returned = self._retriever.run(**inputs)
        if "documents" not in returned:
            raise PluginError(
                f"the retriever of the first stage {self.name!r} returned {sorted(returned)} and "
                "no documents: give a component that returns documents"
            )
        return [
            Found(each.id, each.content or "", each.meta, each.score)
            for each in returned["documents"]
        ]


def _inputs(name: str, component: Any) -> dict[str, Any]:
    """The inputs of a component by their names. Raises InvalidInputError."""
    if isinstance(component, type) or not callable(getattr(component, "run", None)):
        raise InvalidInputError(f"{name}={shown(component)} is not a component of Haystack")
    sockets = getattr(component, "__haystack_input__", None)
    if sockets is not None:
        return dict(sockets._sockets_dict)
    return dict(inspect.signature(component.run).parameters)
