"""The two-stage search as a Haystack retriever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, cast, get_args

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError
from haystack.document_stores.types import FilterPolicy, apply_filter_policy
from haystack.utils import Secret

from haystack_integrations.document_stores.rerank_search import RerankSearchDocumentStore
from rerank_search.arguments import one_of, truth_value
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import AUTO
from rerank_search.options import OPTIONS, SearchOptions
from rerank_search.plugins.found import context_size
from rerank_search.plugins.haystack.documents import found_documents
from rerank_search.plugins.haystack.filters import translated
from rerank_search.plugins.haystack.option_inputs import chosen, shows_inputs, shows_parameters
from rerank_search.plugins.rerankers import RerankerGiven, written_reranker
from rerank_search.plugins.source import Searching, Source, absolute
from rerank_search.shown import shown
from rerank_search.types import ReturnedText


@component
class RerankSearchRetriever:
    """Finds documents in two stages. Threads and event loops may share one.

        >>> retriever = RerankSearchRetriever(index="indexes/notes", top_k=2)
        >>> found = retriever.run("how do I join two paths")["documents"]
        >>> [document.id for document in found]
        ['os.path.join', 'str.join']

    Give one of three: ``document_store``; ``index``, which is opened at the first use, the folder
    of an index, the URL of a store, or that of an index on a server, such as
    ``http://127.0.0.1:8000/v1/indexes/notes``, with ``api_key`` if the server asks for one; or
    ``searcher``, a Searcher or a RemoteSearcher. ``reranker`` is a model's name or folder, for a
    server one of its own, or a Reranker; None leaves the second stage out.

    The options are those of ``SearchOptions``, here and as inputs of ``run`` and ``run_async``,
    where they win. ``filters`` are Haystack's; ``filter_policy`` says whether those of a run
    replace the retriever's or are merged with them. ``text`` "passage" returns the best passage of
    a long document instead of all of it. ``context_tokens`` returns what ``pack`` makes of the
    hits: the best passages with their neighbours, which fit into so many tokens together, and a
    number to cite each document by.

    ``score`` is the probability that the document is relevant; of a reranker without calibration
    the sigmoid of its score, and without the second stage the first stage's score.
    ``scale_score=False`` gives the score that the documents are sorted by.

    Raises FilterError for a filter that is not valid or has no translation, InvalidInputError and
    TypeError for other invalid arguments, and what ``Searcher.search`` raises.
    """

    @shows_parameters
    def __init__(
        self,
        document_store: RerankSearchDocumentStore | None = None,
        *,
        searcher: Searching | None = None,
        index: str | PathLike[str] | None = None,
        reranker: RerankerGiven | None = AUTO,
        api_key: Secret | None = None,
        filters: dict[str, Any] | None = None,
        filter_policy: FilterPolicy = FilterPolicy.REPLACE,
        text: ReturnedText = "full",
        context_tokens: int | None = None,
        scale_score: bool = True,
        **options: Any,
    ) -> None:
        if api_key is not None and not isinstance(api_key, Secret):
            raise InvalidInputError("api_key is not a Secret: use Secret.from_env_var(...)")
        if document_store is not None:
            if not isinstance(document_store, RerankSearchDocumentStore):
                raise InvalidInputError(
                    f"document_store={shown(document_store)} is not a RerankSearchDocumentStore: "
                    "give one, or index="
                )
            if searcher is not None or index is not None:
                raise InvalidInputError(
                    "document_store, searcher and index exclude each other: give one of them"
                )
        if not isinstance(filter_policy, FilterPolicy):
            raise InvalidInputError(
                f"filter_policy={shown(filter_policy)} is not a FilterPolicy: give one"
            )
        translated(filters)
        self.document_store, self.searcher, self.index = document_store, searcher, index
        self.reranker, self.api_key = reranker, api_key
        self.filters, self.filter_policy = filters, filter_policy
        self.text = _text(text)
        self.context_tokens = context_size(context_tokens, self.text)
        self.scale_score = truth_value("scale_score", scale_score)
        self.options = chosen(SearchOptions(), options)
        self._source = Source(
            searcher,
            index=index if document_store is None else document_store.own_index,
            reranker=reranker,
            api_key=None if api_key is None else api_key.resolve_value,
        )

    def warm_up(self) -> None:
        """Open the index and load the models, unless that is done already."""
        self._source.searcher()

    async def warm_up_async(self) -> None:
        """``warm_up`` in a thread, while the event loop goes on."""
        await self._source.asearcher()

    @component.output_types(documents=list[Document])
    @shows_inputs
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        *,
        text: ReturnedText | None = None,
        context_tokens: int | None = None,
        scale_score: bool | None = None,
        **options: Any,
    ) -> dict[str, list[Document]]:
        """The best documents for the query, as ``documents``, with their scores."""
        asked = self._asked(filters, {**options, "top_k": top_k})
        wanted = self._wanted(text, context_tokens, scale_score)
        response = self._source.searcher().search(query, asked)
        return {"documents": found_documents(response, **wanted)}

    @component.output_types(documents=list[Document])
    @shows_inputs
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        *,
        text: ReturnedText | None = None,
        context_tokens: int | None = None,
        scale_score: bool | None = None,
        **options: Any,
    ) -> dict[str, list[Document]]:
        """``run`` for asyncio; the event loop goes on meanwhile."""
        asked = self._asked(filters, {**options, "top_k": top_k})
        wanted = self._wanted(text, context_tokens, scale_score)
        response = await (await self._source.asearcher()).asearch(query, asked)
        found = partial(found_documents, response, **wanted)
        packs = wanted["context_tokens"] is not None
        return {"documents": await asyncio.to_thread(found) if packs else found()}

    def close(self) -> None:
        """Close what was opened, also by the document store; the next use opens it again."""
        self._source.close()
        if self.document_store is not None:
            self.document_store.close()

    async def close_async(self) -> None:
        """``close`` for asyncio: in threads, while the event loop goes on."""
        await asyncio.to_thread(self._source.close)
        if self.document_store is not None:
            await self.document_store.close_async()

    def to_dict(self) -> dict[str, Any]:
        """All arguments, for Haystack's files. Raises SerializationError for an object among them.

        Raises ValueError for a key that is not in an environment variable.
        """
        arguments = self._arguments()
        try:
            if self.document_store is None:
                arguments |= self._source.settings
            elif self.reranker is not None:
                arguments["reranker"] = written_reranker(self.reranker)
        except InvalidInputError as error:
            raise SerializationError(str(error)) from error
        return default_to_dict(self, **{**arguments, "filter_policy": str(self.filter_policy)})

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RerankSearchRetriever:
        """The retriever that ``to_dict`` has written."""
        given = dict(data.get("init_parameters", {}))
        if isinstance(policy := given.get("filter_policy"), str):
            given["filter_policy"] = FilterPolicy.from_str(policy)
        return default_from_dict(cls, {**data, "init_parameters": given})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path.

        Raises ValueError for a key that is not in an environment variable, and what pickling a
        searcher raises.
        """
        if self.api_key is not None:
            self.api_key.to_dict()
        arguments = {**self._arguments(), "index": absolute(self.index)}
        return partial(RerankSearchRetriever, **arguments), ()

    def _asked(self, filters: dict[str, Any] | None, given: dict[str, Any]) -> SearchOptions:
        """The options of a run: its own arguments win."""
        translated(filters)  # an invalid one is not merged
        applied = apply_filter_policy(self.filter_policy, self.filters, filters)
        return replace(chosen(self.options, given), filter=translated(applied) or None)

    def _wanted(
        self, text: ReturnedText | None, context_tokens: int | None, scale_score: bool | None
    ) -> dict[str, Any]:
        """What of the hits the documents of a run have."""
        returned = self.text if text is None else _text(text)
        tokens = self.context_tokens if context_tokens is None else context_tokens
        scaled = self.scale_score if scale_score is None else scale_score
        return {
            "text": returned,
            "context_tokens": context_size(tokens, returned),
            "scale_score": truth_value("scale_score", scaled),
        }

    def _arguments(self) -> dict[str, Any]:
        options = {name: getattr(self.options, name) for name in OPTIONS if name != "filter"}
        return {
            "document_store": self.document_store,
            "searcher": self.searcher,
            "index": self.index,
            "reranker": self.reranker,
            "api_key": self.api_key,
            "filters": self.filters,
            "filter_policy": self.filter_policy,
            "text": self.text,
            "context_tokens": self.context_tokens,
            "scale_score": self.scale_score,
            **options,
        }


def _text(text: object) -> ReturnedText:
    return cast("ReturnedText", one_of("text", text, get_args(ReturnedText)))
