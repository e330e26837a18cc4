"""What requests need of anything that is served under a name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rerank_search.retrieval.base import TextEncoder
from rerank_search.searchable import Searchable
from rerank_search.types import Document


class Served(Searchable, Protocol):
    """A Searchable whose documents can be counted, added and deleted: an Index, or a Store."""

    @property
    def encoder(self) -> TextEncoder | None:
        """The encoder that makes the vectors; None if there are none, or they are the user's."""
        ...

    @property
    def dimension(self) -> int | None:
        """The length of the user's own vectors; None if there are none."""
        ...

    def __len__(self) -> int:
        """The number of documents."""
        ...

    def add(self, documents: Iterable[Document]) -> int:
        """Insert documents, or replace those with the same ids; return how many were written."""
        ...

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents, skip unknown ids, and return how many were deleted."""
        ...
