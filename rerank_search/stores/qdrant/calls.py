"""The calls of Qdrant that the store makes, whatever answers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

PointId: TypeAlias = int | str
"""The id of a point: an integer of 64 bits without sign, or a UUID as text."""

Conditions: TypeAlias = dict[str, Any]
"""A filter of Qdrant, or a part of one, as its REST API has it."""


NO_STEMMER = "none"
"""The language of a text index without a stemmer."""

DEFAULT_LANGUAGE = "english"
"""The language of the stemmer in a new collection."""


class Point(NamedTuple):
    """A point as Qdrant returns it; ``score`` is 0.0 where it was not searched for."""

    id: PointId
    payload: Mapping[str, Any]
    score: float = 0.0


class NewPoint(NamedTuple):
    """A point to write; ``vector`` is None in a collection without vectors."""

    id: PointId
    payload: Mapping[str, Any]
    vector: Sequence[float] | None


@dataclass(frozen=True, slots=True)
class Collection:
    """What is in a collection.

    ``vectors`` has the dimension and the distance of each vector by its name, "" for the one
    without a name. ``note`` is what ``annotate`` stored.
    """

    vectors: Mapping[str, tuple[int, str]]
    note: Mapping[str, Any]


class QdrantCalls(Protocol):
    """One collection of Qdrant. Every method raises errors of the StoreError family."""

    def describe(self) -> Collection | None:
        """What is there; None if there is no such collection."""
        ...

    def check_language(self, language: str | None) -> None:
        """Raise InvalidInputError for a language that ``rank_by`` has no stemmer for."""
        ...

    def create(self, dimension: int | None, note: Mapping[str, Any]) -> None:
        """Make the collection, with a vector of that length and the cosine, unless it exists."""
        ...

    def ranks_by(self, key: str) -> bool:
        """Whether BM25 ranks by the texts under a payload key."""
        ...

    def rank_by(self, key: str, language: str | None) -> None:
        """Have BM25 rank by the texts under a payload key; None is the default language."""
        ...

    def annotate(self, note: Mapping[str, Any]) -> None:
        """Store a note with the collection."""
        ...

    def search_text(
        self, text: str, key: str, limit: int, filter: Conditions, payload: Sequence[str]
    ) -> list[Point]:
        """The best points by BM25 over the texts under ``key``, with these keys of the payload."""
        ...

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
        """The best points by their vectors of that name."""
        ...

    def points(self, ids: Sequence[PointId], *, payload: bool) -> list[Point]:
        """The points with these ids, in any order."""
        ...

    def write(self, points: Sequence[NewPoint], vector: str) -> None:
        """Write the points, which are durable when it returns; ``vector`` names their vectors."""
        ...

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete the points with these ids."""
        ...

    def count(self) -> int:
        """The number of points."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
