"""Milvus as a store: BM25 by its own function, vectors, and filters in its expressions."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient

from rerank_search.built_in_stages import BM25, DENSE
from rerank_search.errors import InvalidInputError, StoreMismatchError, StoreNotFoundError
from rerank_search.files import make_folder
from rerank_search.http_calls.keys import key_variable, stored_key
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
from rerank_search.stores.milvus.errors import milvus_errors
from rerank_search.stores.milvus.filters import expression
from rerank_search.stores.milvus.layouts import (
    TEXT,
    VECTOR,
    WORDS,
    Layout,
    OwnLayout,
    found_layout,
    own_schema,
)
from rerank_search.stores.note import NOTE, StoreNote, read_note_text
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document

DISTANCES = {"COSINE": "cosine", "IP": "dot"}
"""Distances of Milvus that rank as the cosine does, by its names for them."""

MOST_FOUND = 16_384
"""Most documents that a search of Milvus returns."""

STRONG: Any = {"consistency_level": "Strong"}
"""Has a call see every write that was acknowledged before."""


_TURNS = threading.Lock()
"""Held while a file is opened: two threads that open one collection would each get one of their own
from Milvus Lite, and lose what the other one writes."""


class MilvusOptions(StoreOptions):
    """The options of Milvus.

    ``text`` and ``title`` are the fields of a collection that others made; its other scalar fields
    are the metadata. ``vector`` is the field of vectors, and ``database`` the database of the
    collection. ``index`` is that of the vectors in a new collection: "flat" compares all of them,
    "auto" those that Milvus chooses.
    """

    text: str = TEXT
    title: str | None = None
    vector: str | None = None
    database: str = ""
    index: Literal["flat", "auto"] = "flat"


class MilvusBackend(StoreBackend):
    """One collection of Milvus."""

    Options: ClassVar[type[StoreOptions]] = MilvusOptions

    def __init__(self, url: StoreUrl, options: MilvusOptions) -> None:
        self._file = None if url.host else Path(url.folder)
        if not url.name or (url.folder if url.host else not url.folder.endswith(".db")):
            raise InvalidInputError(
                f"{url} names no collection: write it as milvus://HOST:19530/COLLECTION, or as "
                "milvus:///FOLDER/FILE.db/COLLECTION for a file of Milvus Lite"
            )
        try:
            host = urlsplit(f"//{url.host}").hostname or ""
        except ValueError as error:
            raise InvalidInputError(f"{url} is not the address of a server ({error})") from None
        self._url = url
        self._name = url.name
        self._options = options
        self._within: Any = {"timeout": options.timeout}
        self._variable = key_variable(host)
        self._key = stored_key(self._variable) if url.host else None
        self._opening = threading.Lock()
        self._turn = nullcontext() if self._file is None else _TURNS
        self._opened: MilvusClient | None = None
        self._known: Layout | None = None

    def describe(self) -> StoreDescription | None:
        """The stages, the vectors and the encoder of the collection."""
        if self._file is not None and not self._file.exists():  # which Milvus Lite would make
            return None
        with self._turn, self._client() as client:
            if not client.has_collection(self._name, **self._within):
                return None
            schema = client.describe_collection(self._name, **self._within)
            note = self._note(schema)
            dimensions = {
                each["name"]: int(each["params"]["dim"])
                for each in schema["fields"]
                if each["type"] == DataType.FLOAT_VECTOR
            }
            vector = chosen_vector(self._url, dimensions, wanted=self._options.vector, usual=VECTOR)
            layout: Layout
            if note.own:
                self._check_own()
                self._index(client, vector)
                layout = OwnLayout(vector)
            else:
                layout = found_layout(schema, self._options.text, self._options.title, vector)
            distance = None if vector is None else self._distance(client, vector)
            client.load_collection(self._name, **self._within)
        self._known = layout
        return StoreDescription(
            stages=(*([BM25] if layout.words else []), *([DENSE] if vector else [])),
            dimension=None if vector is None else dimensions[vector],
            distance=distance,
            encoder=note.encoder,
        )

    def create(self, new: NewStore) -> None:
        """Make the collection, or note the encoder of one that exists; its indexes come later."""
        if self._file is not None:
            make_folder(self._file.parent)
        with self._turn, self._client() as client:
            if client.has_collection(self._name, **self._within):
                found = self._note(client.describe_collection(self._name, **self._within))
                if found.encoder is None:  # another process may have recorded one just now
                    note = _noted(StoreNote(own=found.own, encoder=new.encoder))
                    client.alter_collection_properties(self._name, note, **self._within)
                return
            self._check_own()
            schema, more = own_schema(new.dimension), {**STRONG, **self._within}
            note = _noted(StoreNote(own=True, encoder=new.encoder))
            client.create_collection(self._name, schema=schema, properties=note, **more)

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best documents by BM25."""
        found = self._best(query, self._layout_now.words, k, filter, ids)
        return [(id, abs(score)) for id, score in found if score]  # negated in Milvus Lite alone

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        """The best documents by their vectors."""
        found = self._best(vector.tolist(), self._layout_now.vector, k, filter, ids)
        return [(id, score) for id, score in found if np.isfinite(score)]  # no cosine of zeros

    def _best(
        self,
        query: Any,
        field: str | None,
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        if field is None:
            raise StoreMismatchError(f"{self._url} cannot rank so: use another first stage")
        layout = self._layout_now
        conditions = [] if filter is None else [f"({expression(filter, layout.filters)})"]
        if ids is not None:
            conditions.append(f"({layout.having(ids)})")
        with self._client() as client:
            [found] = client.search(
                self._name,
                data=[query],
                anns_field=field,
                limit=min(k, MOST_FOUND),
                filter=" and ".join(conditions),
                output_fields=[layout.id],
                **STRONG,
                **self._within,
            )
        if len(found) == MOST_FOUND < k:
            raise InvalidInputError(
                f"a search of {self._url} finds {MOST_FOUND:,} documents at most, and more than "
                "that are among the best or tie with them: use a smaller k, or a filter"
            )
        return [(str(id), score) for id, score in zip(found.ids, found.distances, strict=True)]

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids."""
        layout = self._layout_now
        return [layout.document(row) for row in self._rows(ids, layout.columns)]

    def upsert(self, records: Sequence[Record]) -> None:
        """Write the documents in one request."""
        rows = [self._layout_now.row(record) for record in records]
        with self._client() as client:
            client.upsert(self._name, rows, **self._within)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents, after counting those that are there."""
        layout = self._layout_now
        there = [str(row[layout.id]) for row in self._rows(ids, [layout.id])]
        if there:
            with self._client() as client:  # which would not escape a quotation mark in ids
                client.delete(self._name, filter=layout.having(there), **self._within)
        return len(there)

    def count(self) -> int:
        """The number of documents."""
        with self._client() as client:
            [row] = client.query(self._name, output_fields=["count(*)"], **STRONG, **self._within)
        return int(row["count(*)"])

    def close(self) -> None:
        """Close the connections."""
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _rows(self, ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        having = self._layout_now.having(ids)
        with self._client() as client:
            found: list[dict[str, Any]] = client.query(
                self._name, filter=having, output_fields=list(columns), **STRONG, **self._within
            )
        return found

    @contextmanager
    def _client(self) -> Iterator[MilvusClient]:
        with milvus_errors(self._url, self._variable, self._key):
            with self._opening:
                if self._opened is None:
                    address = f"{self._url.transport or 'http'}://{self._url.host}"
                    self._opened = MilvusClient(
                        address if self._file is None else str(self._file),
                        token=self._key or "",
                        db_name=self._options.database,
                        **self._within,
                    )
                client = self._opened
            yield client

    @property
    def _layout_now(self) -> Layout:
        if self._known is None:
            raise StoreNotFoundError(f"{self._url} does not exist: open the store again")
        return self._known

    def _note(self, schema: Mapping[str, Any]) -> StoreNote:
        written = schema.get("properties", {}).get(NOTE)
        return StoreNote() if written is None else read_note_text(written, self._url)

    def _check_own(self) -> None:
        """Raise InvalidInputError for fields of a collection that has fields of its own."""
        if given := sorted({"text", "title"} & self._options.model_fields_set):
            raise InvalidInputError(
                f"{self._url} is a collection that this library makes, with fields of its own: "
                f"leave out {given[0]}"
            )

    def _index(self, client: MilvusClient, vector: str | None) -> None:
        """Make the indexes of a collection of ours that are missing."""
        kind = "FLAT" if self._options.index == "flat" else "AUTOINDEX"
        vectors = {} if vector is None else {vector: (kind, "COSINE")}
        for field, (kind, metric) in {WORDS: ("SPARSE_INVERTED_INDEX", "BM25"), **vectors}.items():
            if not client.list_indexes(self._name, field, **self._within):
                index = client.prepare_index_params(field, index_type=kind, metric_type=metric)
                client.create_index(self._name, index, sync=False, **self._within)

    def _distance(self, client: MilvusClient, vector: str) -> str:
        """What the index of a field of vectors compares them by."""
        if not (names := client.list_indexes(self._name, vector, **self._within)):
            raise StoreMismatchError(
                f"{self._url} has no index on the field of vectors {shown(vector)}, without which "
                "Milvus searches nothing: make one, with the metric COSINE"
            )
        metric = str(client.describe_index(self._name, names[0], **self._within)["metric_type"])
        return DISTANCES.get(metric, metric)


def _noted(note: StoreNote) -> dict[str, str]:
    """The note as properties of a collection."""
    return {NOTE: json.dumps(note.written())}
