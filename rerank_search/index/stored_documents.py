"""The documents of an index, as they are read without a search."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator

from rerank_search.arguments import document_id, id_list, whole_number
from rerank_search.errors import FilterWarning, InvalidInputError
from rerank_search.queries import check_text
from rerank_search.storage.documents import DocumentStore
from rerank_search.types import Document, Filter


class StoredDocuments:
    """The documents of an index, by id, by a filter, and in order."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def filter_warnings(self, filter: Filter) -> list[str]:
        """Warnings about metadata keys and kinds of values in the filter that no document has.

        Each is a sentence; for a key it also names existing keys, the nearest first. The filter is
        still valid and exact. Raises InvalidFilterError.
        """
        return self._store.filter_warnings(filter)

    def get(self, id: str) -> Document | None:
        """The document, or None for an unknown id."""
        return self._store.get([document_id(id)])[0]

    def documents(self, ids: Iterable[str]) -> list[Document | None]:
        """The documents, in the order of ``ids``; None for an unknown id."""
        return self._store.get(id_list(ids))

    def ids(self) -> Iterator[str]:
        """All document ids, ascending by code point."""
        return self._store.ids()

    def find(
        self,
        filter: Filter | None = None,
        *,
        after: str | None = None,
        limit: int = 100,
        warn: bool = True,
    ) -> list[Document]:
        """The first ``limit`` documents that the filter allows, ids ascending by code point.

        No filter, or ``{}``, allows all. For the next page give the last id as ``after``. Documents
        that exist all the while are on exactly one page, whatever is written meanwhile.

            >>> page = index.find({"module": "os"}, limit=500)
            >>> following = index.find({"module": "os"}, after=page[-1].id, limit=500)

        Issues a FilterWarning for each of ``filter_warnings``, unless ``warn`` is False.
        Raises InvalidFilterError, InvalidInputError.
        """
        first = "" if after is None else document_id(after, "after")
        check_text(first, "after")
        limit = whole_number("limit", limit)
        allowed: Filter = {} if filter is None else filter
        if warn:
            self._warn_of(allowed)
        return self._store.find(allowed, first, min(limit, sys.maxsize))

    def __len__(self) -> int:
        return self._store.totals().documents

    def __contains__(self, id: object) -> bool:
        try:
            wanted = document_id(id)
        except InvalidInputError:
            return False
        return self.get(wanted) is not None

    def _warn_of(self, filter: Filter) -> None:
        for message in self.filter_warnings(filter):
            warnings.warn(message, FilterWarning, stacklevel=3)
