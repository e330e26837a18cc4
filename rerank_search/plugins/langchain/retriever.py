"""The two-stage search as a LangChain retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Unpack, cast, get_args

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, PrivateAttr, SecretStr, SkipValidation, model_validator

from rerank_search.arguments import one_of
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchArguments, SearchOptions, merged
from rerank_search.plugins.found import context_size, in_context
from rerank_search.plugins.langchain.documents import scored_documents
from rerank_search.plugins.option_fields import OptionFields
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RerankerGiven
from rerank_search.plugins.source import Searching, Source
from rerank_search.types import ReturnedText


class RerankSearchRetriever(OptionFields, BaseRetriever):
    """Finds documents in two stages. Threads and event loops may share one.

        >>> retriever = RerankSearchRetriever(index="indexes/notes", k=2)
        >>> [document.id for document in retriever.invoke("how do I join two paths")]
        ['os.path.join', 'str.join']

    Give ``searcher``, a Searcher or a RemoteSearcher, or ``index``, which is opened at the first
    use: the folder of an index, the URL of a store, or that of an index on a server, such as
    ``http://127.0.0.1:8000/v1/indexes/notes``, with ``api_key`` if the server asks for one.
    ``reranker`` is a model's name or folder, for a server one of its own, or a Reranker; None
    leaves the second stage out.

    The options are those of ``SearchOptions``, with ``k`` for ``top_k``, here and in ``invoke``,
    ``ainvoke``, ``batch`` and ``bind``: ``retriever.invoke(query, k=3, filter={"lang": "en"})``.
    ``text`` "passage" returns the best passage of a long document instead of all of it.
    ``context_tokens`` returns what ``pack`` makes of the hits: the best passages with their
    neighbours, which fit into so many tokens together, and a number to cite each document by.

    Each document has its id, also as ``document_id`` in its metadata, its title as ``title``, and
    as ``relevance_score`` its probability of being relevant, or the score it was sorted by if the
    reranker is not calibrated; also ``passages`` and ``duplicates`` if the options ask for them. A
    FilterWarning names keys of the filter that no document has.

    Raises pydantic's ValidationError for invalid arguments of the constructor, TypeError for an
    unknown argument of a call, and what ``Searcher.search`` raises.
    """

    # Errors must not show a key, which pydantic would quote with the other arguments.
    model_config = ConfigDict(
        arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True
    )

    searcher: SkipValidation[Searching | None] = None
    index: str | PathLike[str] | None = None
    reranker: SkipValidation[RerankerGiven | None] = AUTO
    api_key: SecretStr | None = None
    text: ReturnedText = "full"
    context_tokens: int | None = None

    _source: Source = PrivateAttr()

    if TYPE_CHECKING:  # pydantic's own signature has neither k nor a string as api_key

        def __init__(
            self,
            *,
            searcher: Searching | None = None,
            index: str | PathLike[str] | None = None,
            reranker: RerankerGiven | None = AUTO,
            api_key: SecretStr | str | None = None,
            text: ReturnedText = "full",
            context_tokens: int | None = None,
            k: int = SearchOptions.top_k,
            tags: list[str] | None = None,
            metadata: dict[str, Any] | None = None,
            **options: Unpack[SearchArguments],
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _named_as_options(cls, given: Any) -> Any:
        return renamed(given, k="top_k") if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _checked(self) -> RerankSearchRetriever:
        self._source = Source(
            self.searcher,
            index=self.index,
            reranker=self.reranker,
            api_key=None if self.api_key is None else self.api_key.get_secret_value(),
        )
        _ = self.search_options
        context_size(self.context_tokens, self.text)
        return self

    def close(self) -> None:
        """Close what this retriever has opened; the next use opens it again."""
        self._source.close()

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "rerank_search"
        return params

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **arguments: Any
    ) -> list[Document]:
        options, text, tokens = self._asked(arguments)
        response = self._source.searcher().search(query, options)
        return scored_documents(response if tokens is None else in_context(response, tokens), text)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **arguments: Any
    ) -> list[Document]:
        options, text, tokens = self._asked(arguments)
        searcher = await self._source.asearcher()
        response = await searcher.asearch(query, options)
        if tokens is not None:
            response = await asyncio.to_thread(in_context, response, tokens)
        return scored_documents(response, text)

    def _asked(self, arguments: dict[str, Any]) -> tuple[SearchOptions, ReturnedText, int | None]:
        """The options of a call, whose own arguments win, and the text that it returns."""
        arguments = renamed(arguments, k="top_k")
        text = one_of("text", arguments.pop("text", self.text), get_args(ReturnedText))
        text = cast("ReturnedText", text)
        tokens = context_size(arguments.pop("context_tokens", self.context_tokens), text)
        return merged(self.search_options, arguments), text, tokens
