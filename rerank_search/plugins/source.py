"""Where a plugin gets its searcher: from the user, from an index on disk, or from a server."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from rerank_search.client import RemoteSearcher
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.models.registry import AUTO
from rerank_search.options import SearchOptions
from rerank_search.plugins.index_url import check_without_password, is_url, parts_of_url, shared_key
from rerank_search.plugins.once import Once
from rerank_search.plugins.own_index import OwnIndex
from rerank_search.plugins.rerankers import RerankerGiven, written_reranker
from rerank_search.reranking.base import check_reranker
from rerank_search.searchable import Searchable
from rerank_search.searcher import Searcher
from rerank_search.shown import shown
from rerank_search.stores import is_store_url, open_store
from rerank_search.types import SearchResponse

Key: TypeAlias = str | Callable[[], str | None] | None
"""The key for a server, or a function that returns it when it is needed."""

Place: TypeAlias = str | PathLike[str] | OwnIndex | None
"""The folder or the URL of an index, or the index of another plugin."""


class Searching(Protocol):
    """What a plugin needs of a searcher; Searcher and RemoteSearcher have it."""

    def search(self, query: str, options: SearchOptions | None = None) -> SearchResponse:
        """The best documents for the query."""
        ...

    def search_batch(
        self, queries: Iterable[str], options: SearchOptions | None = None
    ) -> list[SearchResponse]:
        """The best documents for each query."""
        ...

    async def asearch(self, query: str, options: SearchOptions | None = None) -> SearchResponse:
        """``search`` for asyncio."""
        ...

    async def asearch_batch(
        self, queries: Iterable[str], options: SearchOptions | None = None
    ) -> list[SearchResponse]:
        """``search_batch`` for asyncio."""
        ...


class Source:
    """The searcher of a plugin, by the arguments that every plugin has. Threads may share one.

    Give one of two. ``searcher`` is a Searcher or a RemoteSearcher, which stays the user's to
    close. ``index`` is the folder of an index, or the URL of an index on a server,
    ``http://HOST:PORT/v1/indexes/NAME`` (``http://HOST:PORT`` if the server has only one), or the
    URL of a store, without a password. It is opened at the first use, once, even if many threads
    ask together, and for reading only. It is closed by ``close``, or with this object. An OwnIndex
    is that of another plugin, which opens and closes it.

    ``reranker`` is for ``index``. AUTO is the library's default for a folder or a store, and the
    server's first one. A name is a model that is loaded here, or for a server one of its own. A
    Reranker scores here, also the candidates of a server. None leaves the second stage out.
    ``api_key`` is the key for a server; without one RERANK_SEARCH_API_KEY is sent if it is set.

    Raises InvalidInputError for arguments that cannot be used.
    """

    def __init__(
        self,
        searcher: Searching | None = None,
        *,
        index: Place = None,
        reranker: RerankerGiven | None = AUTO,
        api_key: Key = None,
    ) -> None:
        self._given, self._index, self._reranker, self._key = searcher, index, reranker, api_key
        if searcher is not None:
            _check_searcher(searcher)
            others = {"index": index is not None, "reranker": not _is_auto(reranker)}
            for name, given in {**others, "api_key": api_key is not None}.items():
                if given:
                    raise InvalidInputError(
                        f"searcher and {name} exclude each other: leave one of them out"
                    )
        else:
            _check_index(index, reranker, api_key)
        self._opened = ExitStack()
        self._once = Once(partial(_opened, index or "", reranker, api_key, self._opened))
        weakref.finalize(self, self._opened.close)

    def searcher(self) -> Searching:
        """The searcher, opened by the first call. Raises what opening an index raises."""
        return self._once.get() if self._given is None else self._given

    async def asearcher(self) -> Searching:
        """``searcher`` for asyncio: it is opened in a thread, so the event loop goes on."""
        return await self._once.aget() if self._given is None else self._given

    def close(self) -> None:
        """Close what was opened here; the next use opens it again. A given searcher stays open."""
        self._once.forget()
        self._opened.close()

    @property
    def settings(self) -> dict[str, str | None]:
        """``index`` and ``reranker`` as strings, for the file format of a framework.

        Raises InvalidInputError for an object, which such a file cannot hold.
        """
        if not isinstance(self._index, (str, PathLike)):
            raise InvalidInputError(
                f"searcher={shown(self._given)} is an object, which cannot be written to a file: "
                "give index= with a path or a URL instead"
            )
        written = None if self._reranker is None else written_reranker(self._reranker)
        return {"index": os.fspath(self._index), "reranker": written}

    def __repr__(self) -> str:
        if self._given is not None:
            return f"Source({shown(self._given)})"
        return f"Source(index={shown(self._index)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments, with an absolute path.

        Raises InvalidInputError for a key that is a string, and what pickling a searcher raises.
        """
        if isinstance(self._key, str):
            raise InvalidInputError(
                "an api_key cannot be pickled or copied, since the key would be in the pickle: set "
                "RERANK_SEARCH_API_KEY on both sides instead"
            )
        arguments: dict[str, Any] = {
            "index": absolute(self._index),
            "reranker": self._reranker,
            "api_key": self._key,
        }
        return partial(Source, **arguments), (self._given,)


def absolute(index: Place) -> Place:
    """The index as a process in another folder finds it."""
    if isinstance(index, (str, PathLike)) and not is_url(index) and not is_store_url(index):
        return Path(index).absolute()
    return index


def _opened(
    index: str | PathLike[str] | OwnIndex,
    reranker: RerankerGiven | None,
    api_key: Key,
    opened: ExitStack,
) -> Searching:
    """The searcher; what has to be closed later is added to ``opened``."""
    with ExitStack() as opening:
        searcher: Searching
        if is_url(index):
            searcher = _remote(str(index), reranker, api_key, opening)
        else:
            searcher = Searcher(_opened_here(index, opening), reranker)
        opened.push(opening.pop_all())
    return searcher


def _opened_here(index: str | PathLike[str] | OwnIndex, opening: ExitStack) -> Searchable:
    if isinstance(index, OwnIndex):
        return index
    if is_store_url(index):
        return opening.enter_context(open_store(str(index)))
    return opening.enter_context(Index.open(index, read_only=True))


def _remote(
    url: str, reranker: RerankerGiven | None, api_key: Key, opening: ExitStack
) -> Searching:
    base, index = parts_of_url(url)
    key = api_key() if callable(api_key) else api_key
    if key is None:
        key = shared_key()
    if isinstance(reranker, (str, PathLike)):
        model = None if _is_auto(reranker) else os.fspath(reranker)
        return opening.enter_context(RemoteSearcher(base, index, api_key=key, model=model))
    remote = opening.enter_context(RemoteSearcher(base, index, api_key=key))
    return Searcher(remote, reranker)


def _check_searcher(searcher: object) -> None:
    if not callable(getattr(searcher, "search", None)) or not inspect.iscoroutinefunction(
        getattr(searcher, "asearch", None)
    ):
        raise InvalidInputError(
            f"searcher={shown(searcher)} cannot be used: give a Searcher or a RemoteSearcher"
        )


def _check_index(index: object, reranker: object, api_key: object) -> None:
    if index is None:
        raise InvalidInputError(
            "nothing to search: give searcher=Searcher(...), or index= with the folder of an "
            "index, a URL such as http://127.0.0.1:8000/v1/indexes/notes, or that of a store"
        )
    if not isinstance(index, (str, PathLike, OwnIndex)):
        raise InvalidInputError(
            f"index={shown(index)} is not a path or a URL: give one, or searcher=Searcher(...)"
        )
    if is_store_url(index):
        check_without_password(str(index))
    elif isinstance(index, str) and "://" in index and not is_url(index):
        raise InvalidInputError("index is neither a folder nor the URL of a store: give one")
    if reranker is not None and not isinstance(reranker, (str, PathLike)):
        check_reranker(reranker)
    if api_key is not None and not is_url(index):
        raise InvalidInputError(
            f"api_key is for a server, and index={shown(index)} is none: leave api_key out, or "
            "give the URL of an index on a server"
        )


def _is_auto(reranker: object) -> bool:
    return isinstance(reranker, str) and reranker == AUTO
