"""The two-stage search as a LlamaIndex retriever."""

from __future__ import annotations

import asyncio
import copy
from os import PathLike
from typing import Any, cast, get_args

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.schema import IndexNode, NodeWithScore, QueryBundle
from pydantic import SecretStr

from rerank_search.arguments import one_of
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchOptions, merged
from rerank_search.plugins.found import context_size
from rerank_search.plugins.llama_index.filters import index_filter
from rerank_search.plugins.llama_index.nodes import packed_nodes, scored_nodes
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RerankerGiven
from rerank_search.plugins.source import Key, Searching, Source
from rerank_search.shown import shown
from rerank_search.types import ReturnedText, SearchResponse


class RerankSearchRetriever(BaseRetriever):
    """Finds nodes in two stages. Threads and event loops may share one.

        >>> retriever = RerankSearchRetriever(index="indexes/notes", similarity_top_k=2)
        >>> [found.node_id for found in retriever.retrieve("how do I join two paths")]
        ['os.path.join', 'str.join']

    Give ``searcher``, a Searcher or a RemoteSearcher, or ``index``, which is opened at the first
    use: the folder of an index, the URL of a store, or that of an index on a server, such as
    ``http://127.0.0.1:8000/v1/indexes/notes``, with ``api_key`` if the server asks for one.
    ``reranker`` is a model's name or folder, for a server one of its own, or a Reranker; None
    leaves the second stage out.

    ``arguments`` are those of ``SearchOptions``, with ``similarity_top_k`` for ``top_k`` and
    ``filters``, LlamaIndex's MetadataFilters, for ``filter``. ``text`` "passage" returns the best
    passage of a long document instead of all of it. ``context_tokens`` returns what ``pack`` makes
    of the hits: the best passages with their neighbours, which fit into so many tokens together.
    ``with_options`` changes any of these for some calls.

    Nodes that RerankSearchVectorStore has added come back as they were; other documents of an index
    are TextNodes, with their title as ``title`` in the metadata. The score is the probability that
    a node is relevant, or what nodes are sorted by if not all of them have one. A FilterWarning
    names keys of the filter that no document has.

    Raises InvalidInputError, TypeError for an unknown argument, and what ``Searcher.search``
    raises.
    """

    def __init__(
        self,
        searcher: Searching | None = None,
        *,
        index: str | PathLike[str] | None = None,
        reranker: RerankerGiven | None = AUTO,
        api_key: Key | SecretStr = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
        **arguments: Any,
    ) -> None:
        super().__init__(callback_manager, object_map, objects, verbose)
        key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
        self._source = Source(searcher, index=index, reranker=reranker, api_key=key)
        self._options = SearchOptions()
        self._text: ReturnedText = "full"
        self._context_tokens: int | None = None
        self._take(arguments)

    def with_options(self, **arguments: Any) -> RerankSearchRetriever:
        """A retriever with some other options, which shares what this one has opened.

        >>> [best] = retriever.with_options(top_k=1).retrieve("how do I join two paths")
        """
        other = copy.copy(self)
        other._take(arguments)
        return other

    def close(self) -> None:
        """Close what this retriever has opened; the next use opens it again."""
        self._source.close()

    def _take(self, arguments: dict[str, Any]) -> None:
        given = _with_index_filter(renamed(arguments, similarity_top_k="top_k"))
        text = one_of("text", given.pop("text", self._text), get_args(ReturnedText))
        self._text = cast("ReturnedText", text)
        self._context_tokens = context_size(
            given.pop("context_tokens", self._context_tokens), self._text
        )
        self._options = merged(self._options, given)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = _query(query_bundle)
        return self._nodes(self._source.searcher().search(query, self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = _query(query_bundle)
        searcher = await self._source.asearcher()
        response = await searcher.asearch(query, self._options)
        if self._context_tokens is None:
            return self._nodes(response)
        return await asyncio.to_thread(self._nodes, response)

    def _nodes(self, response: SearchResponse) -> list[NodeWithScore]:
        if self._context_tokens is None:
            return scored_nodes(response, self._text)
        return packed_nodes(response, self._context_tokens)


def _with_index_filter(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with ``filter`` in place of LlamaIndex's ``filters``."""
    if "filters" not in arguments:
        return arguments
    filters = arguments["filters"]
    if filters is not None:
        return renamed({**arguments, "filters": index_filter(filters)}, filters="filter")
    rest = {name: value for name, value in arguments.items() if name != "filters"}
    return {"filter": None, **rest}


def _query(bundle: QueryBundle) -> str:
    for name in ("custom_embedding_strs", "image_path"):
        value = getattr(bundle, name)
        if value and value != [bundle.query_str]:
            raise InvalidInputError(
                f"{name}={shown(value)} of the query cannot be used, because an index encodes "
                "query_str itself: leave it out"
            )
    return bundle.query_str
