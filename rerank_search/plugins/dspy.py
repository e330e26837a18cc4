"""rerank_search in DSPy: a callable that finds passages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from os import PathLike
from typing import Any, Unpack

from rerank_search.errors import MissingDependencyError
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchArguments, SearchOptions, merged
from rerank_search.plugins.found import context_size, in_context, scores, tell
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RerankerGiven
from rerank_search.plugins.source import Key, Searching, Source
from rerank_search.types import SearchResponse

try:
    import dspy
except ImportError as error:
    raise MissingDependencyError(
        'this needs the package dspy: pip install "rerank-search[dspy]"'
    ) from error

__all__ = ["RerankSearchRetriever"]

PASSAGES = 3
"""Default number of passages, as in DSPy."""


class RerankSearchRetriever:
    """Finds passages in two stages. Threads and event loops may share one.

        >>> find = RerankSearchRetriever(index="indexes/notes", k=2)
        >>> find("how do I join two paths").ids
        ['os.path.join', 'str.join']

    Give ``searcher``, a Searcher or a RemoteSearcher, or ``index``, which is opened at the first
    use: the folder of an index, the URL of a store, or that of an index on a server, such as
    ``http://127.0.0.1:8000/v1/indexes/notes``, with ``api_key`` if the server asks for one.
    ``reranker`` is a model's name or folder, for a server one of its own, or a Reranker; None
    leaves the second stage out. The options are those of
    ``SearchOptions``, with ``k`` for ``top_k``, here and in a call. ``context_tokens`` gives as
    passages what ``pack`` makes of the hits: the best passages with their neighbours, which fit
    into so many tokens together, and a number to cite each document by.

    A call returns a ``dspy.Prediction`` with ``passages`` (the best passage of each document),
    ``ids`` and ``scores`` (the probabilities if the reranker is calibrated). A FilterWarning names
    keys of the filter that no document has. For ``dspy.Retrieve``,
    configure ``dspy.configure(rm=find.rm)``. A copy, also a deep one, is the object itself, so that
    DSPy's optimizers load no model again.

    Raises InvalidInputError for invalid arguments, TypeError for unknown ones, and what
    ``Searcher.search`` raises.
    """

    def __init__(
        self,
        searcher: Searching | None = None,
        *,
        index: str | PathLike[str] | None = None,
        reranker: RerankerGiven | None = AUTO,
        api_key: Key = None,
        k: int | None = None,
        context_tokens: int | None = None,
        **options: Unpack[SearchArguments],
    ) -> None:
        self._source = Source(searcher, index=index, reranker=reranker, api_key=api_key)
        self._options = SearchOptions(top_k=PASSAGES)
        self._tokens: int | None = None
        self._options, self._tokens = self._asked(k, {**options, "context_tokens": context_tokens})

    def __call__(self, query: str, k: int | None = None, **options: Any) -> dspy.Prediction:
        """The best passages for the query."""
        asked, tokens = self._asked(k, options)
        return _prediction(self._source.searcher().search(query, asked), tokens)

    async def acall(self, query: str, k: int | None = None, **options: Any) -> dspy.Prediction:
        """The same for asyncio."""
        asked, tokens = self._asked(k, options)
        searcher = await self._source.asearcher()
        response = await searcher.asearch(query, asked)
        return await asyncio.to_thread(_prediction, response, tokens)

    def rm(self, query: str, k: int | None = None, **options: Any) -> list[dspy.Prediction]:
        """The passages as ``dspy.Retrieve`` wants them of a retrieval model: as ``long_text``."""
        found = self(query, k, **options)
        return [
            dspy.Prediction(long_text=text, id=id, score=score)
            for text, id, score in zip(found.passages, found.ids, found.scores, strict=True)
        ]

    def close(self) -> None:
        """Close what this retriever has opened; the next use opens it again."""
        self._source.close()

    def __copy__(self) -> RerankSearchRetriever:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> RerankSearchRetriever:
        return self

    def _asked(self, k: int | None, options: Mapping[str, Any]) -> tuple[SearchOptions, int | None]:
        """The options of a call, whose own arguments win, and the tokens of its context."""
        given = renamed(options if k is None else {**options, "k": k}, k="top_k")
        tokens = context_size(given.pop("context_tokens", self._tokens), "full")
        return merged(self._options, given), tokens


def _prediction(response: SearchResponse, tokens: int | None) -> dspy.Prediction:
    tell(response)
    if tokens is not None:
        response = in_context(response, tokens)
    return dspy.Prediction(
        passages=[hit.text for hit in response.hits],
        ids=[hit.id for hit in response.hits],
        scores=scores(response),
    )
