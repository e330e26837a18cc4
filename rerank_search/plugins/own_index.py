"""The index of a plugin that writes to it: given by the user, or opened or made by the plugin."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from rerank_search.errors import IndexExistsError, IndexNotFoundError, InvalidInputError
from rerank_search.index import Index
from rerank_search.plugins.once import Once
from rerank_search.retrieval.base import Retriever
from rerank_search.shown import shown
from rerank_search.types import Document, Filter, Hit

IndexGiven: TypeAlias = Index | str | PathLike[str]
"""An index as stores take it: an object, or the folder of one."""


class OwnIndex:
    """An Index, or the folder of one, which the first use opens, once. Threads may share one.

    It is a Searchable: a Searcher may go on searching it after ``close``, which opens it again.
    A given Index stays the user's to close. ``new`` has arguments of ``Index.create`` for a folder
    without an index, which is then made; None makes none.

    Raises InvalidInputError for arguments that cannot be used.
    """

    def __init__(self, index: IndexGiven, *, new: Mapping[str, Any] | None = None) -> None:
        if not isinstance(index, (Index, str, PathLike)):
            raise InvalidInputError(
                f"index={shown(index)} is not an index: give an Index, or the folder of one"
            )
        if isinstance(index, str) and "://" in index:  # not shown, since it may have a password
            raise InvalidInputError(
                "index is a URL, and this writes to a folder: give the folder of the index, or "
                "search the server or the store by a retriever"
            )
        self._given, self._new = index, new
        self._opened = ExitStack()
        self._once = Once(partial(_opened, index, new, self._opened))
        weakref.finalize(self, self._opened.close)

    def get(self) -> Index:
        """The index, opened by the first call. Raises what opening or making one raises."""
        return self._once.get()

    def close(self) -> None:
        """Close the index if it was opened here; the next use opens it again."""
        self._once.forget()
        self._opened.close()

    @property
    def given(self) -> IndexGiven:
        """The index or the folder as the user gave it."""
        return self._given

    @property
    def first_stages(self) -> tuple[str, ...]:
        """Those of the index."""
        return self.get().first_stages

    @property
    def fused_stages(self) -> tuple[str, ...]:
        """Those of the index."""
        return self.get().fused_stages

    @property
    def takes_query_vectors(self) -> bool:
        """Whether the index does."""
        return self.get().takes_query_vectors

    def retriever(self, name: str) -> Retriever:
        """That of the index."""
        return self.get().retriever(name)

    def documents(self, ids: Sequence[str]) -> list[Document | None]:
        """Those of the index."""
        return self.get().documents(ids)

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        """Those of the index."""
        return self.get().stage_scores(queries, rankings)

    def passages(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[list[Hit]]]:
        """Those of the index."""
        return self.get().passages(queries, rankings)

    def filter_warnings(self, filter: Filter) -> Sequence[str]:
        """Those of the index."""
        return self.get().filter_warnings(filter)

    def __repr__(self) -> str:
        return f"OwnIndex({shown(self._given)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path; an Index is opened for reading."""
        given = self._given
        if not isinstance(given, Index):
            given = Path(given).absolute()
        return partial(OwnIndex, new=self._new), (given,)


def _opened(index: IndexGiven, new: Mapping[str, Any] | None, opened: ExitStack) -> Index:
    if isinstance(index, Index):
        return index
    try:
        return opened.enter_context(Index.open(index))
    except IndexNotFoundError:
        if new is None:
            raise
    try:
        return opened.enter_context(Index.create(index, **new))
    except IndexExistsError:  # another process was faster
        return opened.enter_context(Index.open(index))
