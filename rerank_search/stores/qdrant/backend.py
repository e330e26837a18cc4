"""Qdrant as a store: BM25 by its text index, vectors, and filters in its own language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from rerank_search.built_in_stages import BM25, DENSE
from rerank_search.errors import InvalidInputError, StoreMismatchError, StoreNotFoundError
from rerank_search.shown import shown
from rerank_search.storage.filter_tree import FilterTree
from rerank_search.storage.records import Record
from rerank_search.stores.base import (
    NewStore,
    Scored,
    StoreBackend,
    StoreDescription,
    StoreOptions,
)
from rerank_search.stores.chosen_vector import chosen_vector
from rerank_search.stores.note import NOTE, StoreNote, read_note
from rerank_search.stores.qdrant.calls import Conditions, Point, PointId, QdrantCalls
from rerank_search.stores.qdrant.filters import QdrantFilter
from rerank_search.stores.qdrant.payload import (
    ALL_OTHERS,
    EMPTY_LISTS,
    SEARCHED,
    FoundLayout,
    Layout,
    OwnLayout,
    PayloadKeys,
)
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document

DISTANCES = {"Cosine": "cosine", "Dot": "dot"}
"""Distances of Qdrant that rank as the cosine does, by its names for them."""


class QdrantOptions(StoreOptions):
    """The options of Qdrant.

    ``text``, ``title`` and ``metadata`` are the payload keys of a collection that others made;
    ``metadata`` is "*" if all other keys are the metadata. ``searched`` is the payload key whose
    text index ranks by BM25: by default that of a collection of ours, else ``text``. ``vector`` is
    the name of the vector. With ``exact`` all vectors are compared, without it those that Qdrant's
    index leads to. ``language`` is that of the stemmer in a new collection; "none" for none.
    """

    text: str = "text"
    title: str = "title"
    metadata: str = "metadata"
    searched: str | None = None
    vector: str | None = None
    exact: bool = False
    language: str | None = None


OWN_KEYS = PayloadKeys("text", "title", "metadata")
"""The payload keys of a collection of ours."""


@dataclass(frozen=True, slots=True)
class Opened:
    """How a collection is used: its layout, its filters, and what its stages search."""

    layout: Layout
    filters: QdrantFilter
    searched: str | None
    vector: str | None


class QdrantBackend(StoreBackend):
    """One collection of Qdrant."""

    Options: ClassVar[type[StoreOptions]] = QdrantOptions

    def __init__(self, url: StoreUrl, options: QdrantOptions) -> None:
        self._url = url
        self._options = options
        self._keys = PayloadKeys(options.text, options.title, options.metadata)
        self._calls = _calls(url, options)
        self._known: Opened | None = None

    def describe(self) -> StoreDescription | None:
        """The stages, the vectors and the encoder of the collection."""
        if (found := self._calls.describe()) is None:
            return None
        note = read_note(found.note.get(NOTE), self._url)
        wanted = self._options.vector
        vector = chosen_vector(self._url, found.vectors, wanted=wanted, usual="")
        searched = self._searched(own=note.own)
        self._known = self._opened(searched, vector, own=note.own)
        dimension, distance = (None, None) if vector is None else found.vectors[vector]
        return StoreDescription(
            stages=(*([BM25] if searched else []), *([] if vector is None else [DENSE])),
            dimension=dimension,
            distance=None if distance is None else DISTANCES.get(distance, distance),
            encoder=note.encoder,
        )

    def create(self, new: NewStore) -> None:
        """Make the collection with its text index, or note the encoder of one that exists."""
        if (found := self._calls.describe()) is not None:
            noted = read_note(found.note.get(NOTE), self._url)
            if noted.encoder is None:
                note = StoreNote(own=noted.own, encoder=new.encoder)
                self._calls.annotate({NOTE: note.written()})
            return
        self._check_own()
        language = self._options.language
        self._calls.check_language(language)
        note = StoreNote(own=True, encoder=new.encoder)
        self._calls.create(new.dimension, {NOTE: note.written()})
        self._calls.rank_by(SEARCHED, language)

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best documents by BM25."""
        opened = self._opened_now
        if opened.searched is None:
            raise self._lacks("text index that ranks by BM25")
        conditions = self._conditions(filter, ids)
        keys = opened.layout.id_keys
        return self._scored(self._calls.search_text(query, opened.searched, k, conditions, keys))

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        """The best documents by their vectors."""
        opened = self._opened_now
        if opened.vector is None:
            raise self._lacks("vector")
        conditions = self._conditions(filter, ids)
        keys = opened.layout.id_keys
        return self._scored(
            self._calls.search_vector(
                vector.tolist(), opened.vector, k, conditions, keys, exact=self._options.exact
            )
        )

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids."""
        layout = self._opened_now.layout
        return [
            layout.document(point) for point in self._calls.points(self._points(ids), payload=True)
        ]

    def upsert(self, records: Sequence[Record]) -> None:
        """Write the documents in one request."""
        opened = self._opened_now
        points = [opened.layout.point(record) for record in records]
        self._calls.write(points, opened.vector or "")

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents, after counting those that are there."""
        there = [point.id for point in self._calls.points(self._points(ids), payload=False)]
        if there:
            self._calls.delete(there)
        return len(there)

    def count(self) -> int:
        """The number of points."""
        return self._calls.count()

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    @property
    def _opened_now(self) -> Opened:
        if self._known is None:
            raise StoreNotFoundError(f"{self._url} does not exist: open the store again")
        return self._known

    def _opened(self, searched: str | None, vector: str | None, *, own: bool) -> Opened:
        if own:
            self._check_own()
            filters = QdrantFilter(OWN_KEYS.metadata, empty_lists=EMPTY_LISTS)
            return Opened(OwnLayout(OWN_KEYS), filters, searched, vector)
        keys = self._keys
        if keys.metadata == ALL_OTHERS:
            filters = QdrantFilter(None, others=(keys.text, keys.title))
        else:
            filters = QdrantFilter(keys.metadata)
        return Opened(FoundLayout(self._keys), filters, searched, vector)

    def _check_own(self) -> None:
        """Raise InvalidInputError for payload keys of a collection that has keys of its own."""
        if self._keys != OWN_KEYS:
            raise InvalidInputError(
                f"{self._url} is a collection that this library makes, with payload keys of its "
                "own: leave out text, title and metadata"
            )

    def _searched(self, *, own: bool) -> str | None:
        """The payload key that BM25 ranks by; None if there is none."""
        wanted = self._options.searched
        key = wanted or (SEARCHED if own else self._options.text)
        if self._calls.ranks_by(key):
            return key
        if own and wanted is None:  # whoever made the collection did not come this far
            self._calls.rank_by(key, self._options.language)
            return key
        if wanted is None:
            return None
        raise StoreMismatchError(
            f"{self._url} has no text index with scoring on the payload key {shown(wanted)}: make "
            "one, or name another key as ?searched=KEY"
        )

    def _lacks(self, what: str) -> StoreMismatchError:
        return StoreMismatchError(f"{self._url} has no {what}: use another first stage")

    def _points(self, ids: Sequence[str]) -> list[PointId]:
        layout = self._opened_now.layout
        return [point for id in ids if (point := layout.point_id(id)) is not None]

    def _conditions(self, filter: FilterTree | None, ids: Sequence[str] | None) -> Conditions:
        conditions = []
        if filter is not None:
            conditions.append(self._opened_now.filters.translated(filter))
        if ids is not None:
            conditions.append({"has_id": self._points(ids)})
        return {"must": conditions} if conditions else {}

    def _scored(self, points: Sequence[Point]) -> list[Scored]:
        layout = self._opened_now.layout
        return [(layout.id_of(point), point.score) for point in points]


def _calls(url: StoreUrl, options: QdrantOptions) -> QdrantCalls:
    if url.transport == "edge":
        from rerank_search.stores.qdrant.edge import EdgeCalls

        return EdgeCalls(url)
    if url.transport:
        from rerank_search.stores.qdrant.client import server_calls

        return server_calls(url, options.timeout)
    raise InvalidInputError(
        f"{url} is neither a server nor a folder of Qdrant Edge: write qdrant+http://HOST:6333/"
        "COLLECTION or qdrant+edge:///FOLDER. A folder of the client's local mode is not opened, "
        "because it holds pickles, which could run code"
    )
