"""Qdrant in a folder of its client's local mode."""

from __future__ import annotations

import sqlite3
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qdrant_client import QdrantClient

from rerank_search.errors import (
    InvalidInputError,
    RerankSearchError,
    StoreError,
    StoreFullError,
    StoreUnreachableError,
)
from rerank_search.files import disk_errors
from rerank_search.shown import shown
from rerank_search.stores.qdrant.calls import NO_STEMMER, Collection, Conditions, Point
from rerank_search.stores.qdrant.client import ClientCalls
from rerank_search.stores.url import StoreUrl

META_FILE = "meta.json"
"""A file that the client makes in its folder at once."""


class FolderCalls(ClientCalls):
    """One collection in a folder of the client's local mode.

    That is an imitation of a server in Python: it compares all vectors, and its BM25 ranks by any
    payload key, without a stemmer. Threads take turns.
    """

    def __init__(self, url: StoreUrl) -> None:
        if not url.folder:
            raise InvalidInputError(
                f"{url} names no collection in a folder: write it as qdrant:///FOLDER/COLLECTION"
            )
        turns = threading.RLock()

        @contextmanager
        def errors() -> Iterator[None]:
            with turns, _folder_errors(url):
                yield

        super().__init__(url, lambda: _opened(url), errors)

    def describe(self) -> Collection | None:
        """What is there; a folder that the client did not make stays as it is."""
        if not (Path(self._url.folder) / META_FILE).exists():
            return None
        return super().describe()

    def ranks_by(self, key: str) -> bool:
        """Whether a search by the key works, since the client does not list its text indexes."""
        try:
            self.search_text("a", key, 1, {}, [])
        except StoreError:
            return False
        return True

    def check_language(self, language: str | None) -> None:
        """Raise InvalidInputError for a stemmer."""
        if language not in (None, NO_STEMMER):
            raise InvalidInputError(
                f"language={shown(language)} needs a stemmer, which a folder of Qdrant's client "
                "does not have: leave it out, or use qdrant+edge:// or a server"
            )

    def rank_by(self, key: str, language: str | None) -> None:
        """Make the text index, without a stemmer."""
        self.check_language(language)
        super().rank_by(key, NO_STEMMER)

    def search_vector(
        self,
        vector: Sequence[float],
        name: str,
        limit: int,
        filter: Conditions,
        payload: Sequence[str],
        *,
        exact: bool,
    ) -> list[Point]:
        """The best points by their vectors, all of which are compared."""
        return self._best(list(vector), name, limit, filter, payload)


def _opened(url: StoreUrl) -> QdrantClient:
    with warnings.catch_warnings():
        # The client leaves its lock file open if another process has it, and Python warns of that
        # once the error is gone.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            return QdrantClient(path=url.folder, force_disable_check_same_thread=True)
        except RuntimeError as error:
            if "already accessed" not in str(error):
                raise
    raise StoreUnreachableError(
        f"{url} is in use by another process or another store: close it there, or use a server"
    )


@contextmanager
def _folder_errors(url: StoreUrl) -> Iterator[None]:
    try:
        with disk_errors(Path(url.folder)):
            yield
    except RerankSearchError:
        raise
    except (ValueError, OSError, sqlite3.Error) as error:
        kind = StoreFullError if "disk is full" in str(error) else StoreError
        raise kind(f"{url}: {error}") from error
