"""A LangChain vector store or retriever as a first stage."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever

from rerank_search.arguments import check_function, string, truth_value
from rerank_search.errors import InvalidInputError
from rerank_search.plugins import own_loop
from rerank_search.plugins.store_stage import Ask, Found, Scores, StoreStage
from rerank_search.shown import shown
from rerank_search.types import Filter

TranslateFilter: TypeAlias = Callable[[Filter], Mapping[str, Any]]
"""Function from a filter to the arguments with which a store's search applies it."""

_LIMITS = ("k", "top_k")
"""Attributes in which LangChain's retrievers have the number of documents that they return."""

_FETCH_K = 20
"""Number of documents among which LangChain's MMR chooses by default."""


class LangChainStage(StoreStage):
    """A LangChain vector store or retriever as the first stage of a Searcher.

        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> store = InMemoryVectorStore(DeterministicFakeEmbedding(size=64))
        >>> _ = store.add_texts(["Join two paths.", "Bake bread."], ids=["join", "bake"])
        >>> searcher = Searcher(LangChainStage(store))
        >>> searcher.search("how do I join two paths").hits[0].id
        'join'

    The number of candidates of each search is asked of a vector store, and of the retriever that
    its ``as_retriever`` returns. Any other retriever has a limit of its own, which must be high
    enough: a ``k`` or ``top_k`` that is too low is an error, and a limit that cannot be read is
    logged when it has an effect. ``k_argument`` names the argument of its ``invoke`` that has the
    number, if there is one.

    Documents are ranked in the store's order, with the scores 1, 1/2, 1/3 and so on. ``scores``
    "similarity" or "distance" takes a vector store's own scores, of which the highest or the lowest
    is the best; distances are negated. ``translate_filter`` turns a filter into the arguments with
    which the search applies it, for example ``lambda filter: {"filter": filter}``; without it,
    filters are an error. ``asynchronous`` asks by ``ainvoke`` or ``asimilarity_search``.

    A document's id is its ``id``, or with ``id_key`` the value of that metadata key. Two results
    with one id are an error, unless ``fold_chunks`` says that they are chunks of one document: the
    best chunk stands for it. ``title_key`` is the metadata key of the title, which is reranked with
    the text. Documents keep all of their metadata.

    Raises InvalidInputError for invalid arguments.
    """

    def __init__(
        self,
        store: VectorStore | BaseRetriever,
        name: str = "langchain",
        *,
        scores: Scores | None = None,
        k_argument: str | None = None,
        translate_filter: TranslateFilter | None = None,
        asynchronous: bool = False,
        id_key: str | None = None,
        fold_chunks: bool = False,
        title_key: str | None = None,
    ) -> None:
        super().__init__(
            name, scores=scores, id_key=id_key, fold_chunks=fold_chunks, title_key=title_key
        )
        if not isinstance(store, (VectorStore, BaseRetriever)):
            raise InvalidInputError(
                f"store={shown(store)} is neither a vector store nor a retriever of LangChain: "
                "give one of them"
            )
        if translate_filter is not None:
            check_function("translate_filter", translate_filter)
        self._store = store
        self._translate = translate_filter
        self._asynchronous = truth_value("asynchronous", asynchronous)
        self._k_argument = "k" if isinstance(store, (VectorStore, VectorStoreRetriever)) else None
        if k_argument is not None:
            self._k_argument = self._checked_k_argument(k_argument)
        self.returns_what_is_asked = self._k_argument is not None
        if scores is not None and not isinstance(store, VectorStore):
            raise InvalidInputError(
                f"scores={scores!r} needs a vector store, because a retriever returns no scores: "
                "leave scores out, or give the retriever's vector store"
            )

    def _checked_k_argument(self, name: str) -> str:
        if self._k_argument is not None:
            raise InvalidInputError(
                f"k_argument={name!r} is only for retrievers whose limit is unknown: leave it out"
            )
        self._check_accepted([string("k_argument", name)], "k_argument")
        return name

    def _check_accepted(self, names: Iterable[str], because: str) -> None:
        """Raise InvalidInputError for an argument that the retriever would not receive."""
        if isinstance(self._store, (VectorStore, VectorStoreRetriever)):
            return
        parameters = inspect.signature(self._store._get_relevant_documents).parameters
        if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return
        for name in names:
            if name not in parameters:
                raise InvalidInputError(
                    f"{because} has the argument {name!r}, which {type(self._store).__name__} does "
                    "not take in invoke: leave it out, or use a retriever that takes it"
                )

    def _ask(self, k: int, filter: Filter | None) -> Ask:
        self._check_limit(k)
        arguments = {} if filter is None else self._filtered(filter)

        def ask(query: str, limit: int) -> Sequence[Found]:
            asked = {} if self._k_argument is None else {self._k_argument: limit}
            return self._asked(query, {**arguments, **asked})

        return ask

    def _check_limit(self, k: int) -> None:
        store = self._store
        if isinstance(store, VectorStoreRetriever):
            fetched = store.search_kwargs.get("fetch_k", _FETCH_K)
            if store.search_type == "mmr" and fetched < k:
                raise self._too_few("search_kwargs['fetch_k']", fetched, k)
        elif self._k_argument is None:
            for limit in _LIMITS:
                own = getattr(store, limit, None)
                if isinstance(own, int) and own < k:
                    raise self._too_few(f"its {limit}", own, k)

    def _filtered(self, filter: Filter) -> dict[str, Any]:
        if self._translate is None:
            raise self._unsupported(
                filter,
                "LangChain's stores have filters of their own. Give translate_filter, a function "
                "from a filter to the arguments of the store's search, or leave the filter out",
            )
        with self._errors():
            arguments = dict(self._translate(filter))
        self._check_accepted(arguments, "the translated filter")
        return arguments

    def _asked(self, query: str, arguments: dict[str, Any]) -> list[Found]:
        store = self._store
        if isinstance(store, BaseRetriever):
            if self._asynchronous:
                return _unscored(own_loop.run(store.ainvoke(query, **arguments)))
            with self._synchronous(store):
                return _unscored(store.invoke(query, **arguments))
        if self._scores is None:
            if self._asynchronous:
                return _unscored(own_loop.run(store.asimilarity_search(query, **arguments)))
            return _unscored(store.similarity_search(query, **arguments))
        if self._asynchronous:
            found = own_loop.run(store.asimilarity_search_with_score(query, **arguments))
        else:
            found = store.similarity_search_with_score(query, **arguments)
        return [Found(each.id, each.page_content, each.metadata, score) for each, score in found]


def _unscored(found: Iterable[Document]) -> list[Found]:
    return [Found(each.id, each.page_content, each.metadata) for each in found]
