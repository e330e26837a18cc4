"""Queries and documents with their own vectors, for an index that makes none itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from rerank_search.arguments import several
from rerank_search.errors import InvalidInputError
from rerank_search.shown import bounded_repr, shown
from rerank_search.types import Document

LARGEST = 3.4028234663852886e38
"""The largest number of a vector, that of a float32."""

SMALLEST = 1.1754943508222875e-38
"""The smallest size that a vector's largest number may have; smaller float32 lose their digits."""

_NONE_LEFT: Any = object()
"""What stands for the end of the vectors: None may be among them."""


class EncodedQuery(str):
    """A query with its vector, for an index of your own vectors; otherwise its text.

    It may be given wherever a query is taken, also among many. ``vector`` is a list, a tuple or an
    array of numbers. Raises InvalidInputError for numbers that are not finite, and for zeros alone.

        >>> queries = [EncodedQuery("red", [0.6, 0.8]), EncodedQuery("blue", [0.8, 0.6])]
        >>> searcher.search_batch(queries)
    """

    __slots__ = ("vector",)

    vector: tuple[float, ...]

    def __new__(cls, text: str, vector: Sequence[float]) -> EncodedQuery:
        """The text with its vector."""
        made = super().__new__(cls, text)
        made.vector = numbers("the vector of a query", vector)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return EncodedQuery, (str(self), self.vector)


@dataclass(frozen=True, slots=True, repr=False)
class EncodedDocument(Document):
    """A document with its vector, for an index of your own vectors.

    ``vector`` is a list, a tuple or an array of numbers. An index returns its documents without
    their vectors.
    """

    vector: Sequence[float] = field(default=(), kw_only=True, compare=False)

    __repr__ = bounded_repr


def numbers(name: str, value: object) -> tuple[float, ...]:
    """The numbers of a vector. Raises InvalidInputError, with ``name``, for anything else."""
    as_list: Any = getattr(value, "tolist", None)  # of an array
    given = as_list() if callable(as_list) else value
    if isinstance(given, (str, bytes, Mapping, Set)) or not isinstance(given, Iterable):
        raise InvalidInputError(f"{name} is {shown(value)}: give a list of numbers")
    found = []
    for place, number in enumerate(given):
        if not isinstance(number, Real) or isinstance(number, bool):
            said = "a masked value" if number is None and hasattr(value, "mask") else shown(number)
            raise InvalidInputError(
                f"{name} has {said} at place {place}, which is not a number: give a list of numbers"
            )
        if not _is_finite(number):
            raise InvalidInputError(
                f"{name} has {shown(number)} at place {place}: give finite numbers, at most "
                f"{LARGEST:.3g}"
            )
        found.append(float(number))
    if not any(abs(number) >= SMALLEST for number in found):
        sizes = "numbers that are nearly zero" if any(found) else "zeros"
        raise InvalidInputError(
            f"{name} has {f'only {sizes}' if found else 'no numbers'}: give one that points "
            "somewhere"
        )
    return tuple(found)


def _is_finite(number: Real) -> bool:
    try:
        return abs(float(number)) <= LARGEST
    except OverflowError:  # an int that is too large for a float
        return False


def with_vector(queries: list[str], vector: Sequence[float] | None) -> list[str]:
    """The queries, the only one with its vector. Raises InvalidInputError for several queries."""
    if vector is None:
        return queries
    if len(queries) != 1:
        raise InvalidInputError(
            f"query_vector is one vector, and there are {len(queries)} queries: give each query as "
            "EncodedQuery(text, vector)"
        )
    return [EncodedQuery(queries[0], vector)]


def encoded(document: Document, vector: Sequence[float]) -> EncodedDocument:
    """The document with its vector."""
    return EncodedDocument(
        document.id, document.text, document.title, document.metadata, vector=vector
    )


def with_vectors(
    documents: Iterable[Document], vectors: Iterable[Sequence[float]]
) -> Iterator[Document]:
    """The documents, each with its vector. Raises InvalidInputError for another number of them."""
    documents = several("documents", documents, one="documents")
    vectors = several("vectors", vectors, one="vectors")
    if isinstance(documents, Sized) and isinstance(vectors, Sized):
        _check_counts(len(documents), len(vectors))
    return _encoded(documents, vectors)


def _encoded(
    documents: Iterable[Document], vectors: Iterable[Sequence[float]]
) -> Iterator[Document]:
    rest = iter(vectors)
    count = 0
    for document in documents:
        vector = next(rest, _NONE_LEFT)
        if vector is _NONE_LEFT:
            raise InvalidInputError(f"there are {count} vectors, and more documents: give one each")
        # The index refuses what is no document.
        yield encoded(document, vector) if isinstance(document, Document) else document
        count += 1
    if next(rest, _NONE_LEFT) is not _NONE_LEFT:
        raise InvalidInputError(f"there are {count} documents, and more vectors: give one each")


def _check_counts(documents: int, vectors: int) -> None:
    if documents != vectors:
        raise InvalidInputError(
            f"there are {documents:,} documents and {vectors:,} vectors: give one vector each"
        )
