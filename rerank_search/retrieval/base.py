"""The contracts of the first stage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank_search.types import Filter, Hit, Span


class Retriever(Protocol):
    """Anything that finds candidates for queries."""

    name: str

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order.

        Fewer than k only where fewer documents match. Raises InvalidInputError for k < 1.
        """
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """What an engine indexes: a stretch of a document that fits the encoder's window.

    ``id`` is an int64 that is never used again, not even for a new version of the document.
    ``text`` is the document's title, a newline and the passage's own characters (no title: the
    characters alone).
    """

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class PassageScores:
    """The best passages of one query, in no promised order among equal scores.

    ``ids`` is int64, ``scores`` float32, both of shape (n,).
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]


class PassageIndex(Protocol):
    """A structure derived from the stored documents: BM25 postings, or vectors.

    It remembers the change sequence that it has applied, and is published atomically: after a
    crash it is as of its last ``update``, and applying the same changes again is harmless.
    """

    name: str

    @property
    def seq(self) -> int:
        """The last change that is applied and published."""
        ...

    def update(self, seq: int, added: Iterable[Passage], removed: Iterable[int]) -> None:
        """Apply all changes up to ``seq`` and publish them durably."""
        ...

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed`` (sorted ids; None: all)."""
        ...

    def refresh(self) -> bool:
        """Load what another process has published since; True where there was something."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class Catalogue(Protocol):
    """What a first stage needs to know of the stored documents."""

    @property
    def splits(self) -> bool:
        """Whether any document has more than one passage."""
        ...

    def allowed(self, filter: Filter) -> NDArray[np.int64]:
        """Sorted ids of the passages whose document the filter allows."""
        ...

    def locate(self, passages: NDArray[np.int64]) -> list[tuple[str, Span | None] | None]:
        """Document id and span (None: all of it) of each passage; None where it is gone."""
        ...

    def passages_of(self, documents: Sequence[str]) -> list[list[int]]:
        """The passage ids of each document, ascending; an empty list for an unknown id."""
        ...
