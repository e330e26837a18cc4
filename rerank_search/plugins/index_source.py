"""Where a store of a framework gets its index: from the user, or from a folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.models.registry import AUTO
from rerank_search.plugins.once import Once
from rerank_search.plugins.own_index import IndexGiven, OwnIndex
from rerank_search.plugins.rerankers import RerankerGiven, check_reranker_given, written_reranker
from rerank_search.searcher import Searcher
from rerank_search.shown import shown

__all__ = ["IndexGiven", "IndexSource"]


class IndexSource:
    """The index that a store writes to, and its searcher. Threads may share one.

    ``index`` is an Index, which stays the user's to close, or the folder of one, which is opened at
    the first use, once, even if many threads ask together. It is closed by ``close``, or with this
    object. ``reranker`` is a Reranker, the name or the folder of a model, which the first search
    loads, or None.

    Raises InvalidInputError for anything else.
    """

    def __init__(self, index: IndexGiven, reranker: RerankerGiven | None = AUTO) -> None:
        self._own = OwnIndex(index)
        if reranker is not None:
            check_reranker_given(reranker)
        self._given, self._reranker = index, reranker
        self._searching = Once(partial(Searcher, self._own, reranker))

    @property
    def index(self) -> Index:
        """The index, which the first use opens. Raises what ``Index.open`` raises."""
        return self._own.get()

    def searcher(self) -> Searcher:
        """The searcher; the first call loads the reranker. Raises what that raises."""
        return self._searching.get()

    async def asearcher(self) -> Searcher:
        """``searcher`` for asyncio: it is made in a thread, so the event loop goes on."""
        return await self._searching.aget()

    def close(self) -> None:
        """Close the index if it was opened here; the next use opens it again."""
        self._own.close()

    @property
    def settings(self) -> dict[str, str | None]:
        """``index`` and ``reranker`` as strings, for the file format of a framework.

        Raises InvalidInputError for an object, which such a file cannot hold.
        """
        if isinstance(self._given, Index):
            raise InvalidInputError(
                f"index={shown(self._given)} is an object, which cannot be written to a file: give "
                "the folder of the index instead"
            )
        written = None if self._reranker is None else written_reranker(self._reranker)
        return {"index": os.fspath(self._given), "reranker": written}

    def __repr__(self) -> str:
        return f"IndexSource({shown(self._given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path; an Index is opened for reading."""
        given = self._given if isinstance(self._given, Index) else Path(self._given).absolute()
        return IndexSource, (given, self._reranker)
