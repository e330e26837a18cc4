"""A store in the memory of the process, as a package would add one; it ranks ties in any order."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rerank_search import Document, InvalidInputError, StoreUnreachableError
from rerank_search.storage.attributes import attributes
from rerank_search.storage.filter_tree import And, FilterTree, Not, OneOf, Or, Within
from rerank_search.storage.records import Record
from rerank_search.stores import (
    NewStore,
    Scored,
    StoreBackend,
    StoreDescription,
    StoreOptions,
    StoreUrl,
)

SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


class ListedOptions(StoreOptions):
    distance: str = "cosine"
    failing: int = 0
    """Number of next calls that lose their connection, once they have done their work."""
    broken: str = ""
    """The method that breaks the contract."""


class ListedStore(StoreBackend):
    """Documents in a dictionary that the name of the URL picks."""

    Options = ListedOptions
    collections: ClassVar[dict[str, tuple[NewStore, dict[str, Record]]]] = {}

    def __init__(self, url: StoreUrl, options: ListedOptions) -> None:
        self._name, self._options = url.name, options
        self._lock = threading.Lock()
        self.failing = options.failing
        self.calls = 0

    def _done(self) -> None:
        with self._lock:
            self.calls += 1
            if self.failing:
                self.failing -= 1
                raise StoreUnreachableError("the connection was lost")

    def describe(self) -> StoreDescription | None:
        if self._name not in self.collections:
            return None
        new, _ = self.collections[self._name]
        stages = ("text",) if new.dimension is None else ("text", "dense")
        return StoreDescription(stages, new.dimension, self._options.distance, new.encoder)

    def create(self, new: NewStore) -> None:
        _, records = self.collections.get(self._name, (None, {}))
        self.collections[self._name] = new, records

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        words = {word.strip(",").lower() for word in query.split()}

        def score(record: Record) -> float:
            text = f"{record.title} {record.text}".lower().replace(",", " ").split()
            return float(sum(text.count(word) for word in words))

        found = [each for each in self._scored(score, filter, ids) if each[1]]
        return self._best(found, k)

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        def score(record: Record) -> float:
            stored = np.frombuffer(record.vector or b"", "<f4")
            return float(stored @ vector / np.linalg.norm(stored))

        return self._best(self._scored(score, filter, ids), k)

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        self._done()
        _sent(ids)
        found = [self._records[id].document() for id in reversed(ids) if id in self._records]
        return [] if self._options.broken == "fetch" else found

    def upsert(self, records: Sequence[Record]) -> None:
        if self._options.broken != "upsert":
            self._records.update({record.id: record for record in records})
        self._done()

    def delete(self, ids: Sequence[str]) -> int:
        _sent(ids)
        known = [id for id in ids if id in self._records]
        if self._options.broken != "delete":
            for id in known:
                del self._records[id]
        self._done()
        return len(known)

    def count(self) -> int:
        return len(self._records)

    def close(self) -> None:
        return

    @property
    def _records(self) -> dict[str, Record]:
        return self.collections[self._name][1]

    def _scored(
        self, score: Callable[[Record], float], filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        _sent(ids or ())
        return [
            (record.id, score(record))
            for record in list(self._records.values())
            if (ids is None or record.id in ids)
            and (filter is None or self._options.broken == "filter" or allows(filter, record))
        ]

    def _best(self, found: list[Scored], k: int) -> list[Scored]:
        self._done()
        if self._options.broken == "order":
            return found[:k]
        if self._options.broken == "scores":
            found = [(id, score / 2) for id, score in found]
        by_id = sorted(found, key=lambda each: each[0], reverse=True)  # the wrong way round
        return sorted(by_id, key=lambda each: each[1], reverse=True)[:k]


def _sent(ids: Sequence[str]) -> bytes:
    """The ids as an engine elsewhere would get them."""
    return "\n".join(ids).encode()


def allows(tree: FilterTree, record: Record) -> bool:
    """Whether a filter of the simple kinds allows a document; others are refused."""
    match tree:
        case And(parts):
            return all(allows(part, record) for part in parts)
        case Or(parts):
            return any(allows(part, record) for part in parts)
        case Not(part):
            return not allows(part, record)
        case OneOf(name, kind, values) if not name.is_nested:
            return any(k == kind and value in values for k, value, _ in rows(record, name.key))
        case Within(name, kind, bounds) if not name.is_nested:
            return any(
                k == kind and not member and all(SIGNS[sign](value, end) for sign, end in bounds)
                for k, value, member in rows(record, name.key)
            )
    raise InvalidInputError(f"a filter with {type(tree).__name__} is not for lists: leave it out")


def rows(record: Record, key: str) -> Iterator[tuple[str, Any, bool]]:
    for name, *row in attributes(record.document().metadata):
        if name == key:
            yield tuple(row)  # type: ignore[misc]
