"""LanceDB as a store: BM25 by its full-text index, vectors, and filters in its SQL."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, lang_mapping
from numpy.typing import NDArray

from rerank_search.built_in_stages import BM25, DENSE
from rerank_search.errors import (
    InvalidInputError,
    StoreMismatchError,
    StoreNotFoundError,
)
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
from rerank_search.stores.lancedb.columns import (
    SEARCHED,
    TEXT,
    VECTOR,
    Layout,
    OwnLayout,
    found_layout,
    own_schema,
)
from rerank_search.stores.lancedb.errors import lance_errors
from rerank_search.stores.lancedb.filters import joined
from rerank_search.stores.note import NOTE, StoreNote, read_note
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document

MOST_UNINDEXED = 100
"""Rows that a text index may lack before a write adds them to it: a search reads those one by one,
a thousand in about a quarter of a second."""


class LanceOptions(StoreOptions):
    """The options of LanceDB.

    ``id``, ``text``, ``title`` and ``vector`` are the columns of a table that others made; its
    other columns are the metadata. ``searched`` is the column whose full-text index ranks by BM25,
    by default ``text``. With ``exact`` all vectors are compared, without it those that an index of
    LanceDB leads to, if there is one. ``language`` is that of the stemmer in a new table.
    """

    id: str = "id"
    text: str = TEXT
    title: str | None = None
    searched: str | None = None
    vector: str | None = None
    exact: bool = False
    language: str = "English"


class LanceBackend(StoreBackend):
    """One table of LanceDB."""

    Options: ClassVar[type[StoreOptions]] = LanceOptions

    def __init__(self, url: StoreUrl, options: LanceOptions) -> None:
        # Object storage has a bucket where a folder of this machine has no host.
        if not url.name or bool(url.host) != bool(url.transport) or not (url.host or url.folder):
            raise InvalidInputError(
                f"{url} names no table in a folder: write it as lancedb:///FOLDER/TABLE, or as "
                "lancedb+s3://BUCKET/FOLDER/TABLE"
            )
        self._url = url
        self._options = options
        self._patience = timedelta(seconds=options.timeout)
        self._opening = threading.Lock()
        self._table: Any = None
        self._known: tuple[Layout, str | None] | None = None

    def describe(self) -> StoreDescription | None:
        """The stages, the vectors and the encoder of the table."""
        try:
            with self._opened() as table:
                schema = table.schema
                indexes = table.list_indices()
                note = _note(schema, self._options.text, self._url)
                vector = chosen_vector(
                    self._url, _vectors(schema), wanted=self._options.vector, usual=VECTOR
                )
                layout = self._layout(schema, vector, own=note.own)
                ranked = any(
                    index.index_type == "FTS" and index.columns == [layout.searched]
                    for index in indexes
                )
                if note.own and not ranked:  # whoever made the table did not come this far
                    table.create_index(SEARCHED, config=self._index())
                    ranked = True
                if self._options.searched is not None and not ranked:
                    raise StoreMismatchError(
                        f"{self._url} has no full-text index on the column "
                        f"{shown(layout.searched)}: make one, or name another column"
                    )
                distance = None if vector is None else self._distance(table, indexes, vector)
        except StoreNotFoundError:
            return None
        self._known = layout, vector
        return StoreDescription(
            stages=(*([BM25] if ranked else []), *([] if vector is None else [DENSE])),
            dimension=None if vector is None else schema.field(vector).type.list_size,
            distance=distance,
            encoder=note.encoder,
        )

    def create(self, new: NewStore) -> None:
        """Make the table with its text index, or note the encoder of one that exists."""
        index = self._index()
        with lance_errors(self._url):
            database = self._connected(make=True)
            if (made := self._new_table(database, new)) is not None:
                made.create_index(SEARCHED, config=index)
                return
            table = database.open_table(self._url.name)
            own = _note(table.schema, self._options.text, self._url).own
            column = TEXT if own else self._options.text
            note = StoreNote(own=own, encoder=new.encoder)
            table.update_field_metadata({"path": column, "metadata": _noted(note)})

    def _new_table(self, database: Any, new: NewStore) -> Any:
        """A new table; None if there is one of that name."""
        try:
            database.open_table(self._url.name)
        except ValueError as error:
            if "was not found" not in str(error):
                raise
        else:
            return None
        self._check_own()
        note = StoreNote(own=True, encoder=new.encoder)
        schema = own_schema(new.dimension, _noted(note))
        try:
            return database.create_table(self._url.name, schema=schema)
        except ValueError as error:
            if "already exists" not in str(error):  # which another process has made just now
                raise
        return None

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best documents by BM25."""
        layout, _ = self._layout_now()
        with self._opened() as table:
            search = table.search(query, query_type="fts", fts_columns=layout.searched)
            rows = self._best(search, layout, k, filter, ids, "_score")
        return [(layout.id_of(row), row["_score"]) for row in rows]

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        """The best documents by their vectors."""
        layout, column = self._layout_now()
        if column is None:
            raise StoreMismatchError(f"{self._url} has no vectors: use another first stage")
        with self._opened() as table:
            search = table.search(vector, vector_column_name=column).distance_type("cosine")
            if self._options.exact:
                search = search.bypass_vector_index()
            else:  # as many as are asked for, with the cosines of the vectors themselves
                search = search.maximum_nprobes(0).refine_factor(1)
            rows = self._best(search, layout, k, filter, ids, "_distance")
        # The vectors of others may have only zeros, which have no cosine.
        found = ((layout.id_of(row), row["_distance"]) for row in rows)
        return [(id, 1.0 - distance) for id, distance in found if not math.isnan(distance)]

    def _best(
        self,
        search: Any,
        layout: Layout,
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
        score: str,
    ) -> list[dict[str, Any]]:
        conditions = [] if filter is None else [layout.allowed(filter)]
        if ids is not None:
            conditions.append(layout.having(ids))
        if conditions:
            search = search.where(joined("AND", conditions), prefilter=True)
        found: list[dict[str, Any]] = (
            search.select([layout.id, score]).limit(k).to_list(timeout=self._patience)
        )
        return found

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids."""
        layout, _ = self._layout_now()
        with self._opened() as table:
            search = table.search().where(layout.having(ids)).select(list(layout.columns))
            rows = search.limit(None).to_list(timeout=self._patience)
        return [layout.document(row) for row in rows]

    def upsert(self, records: Sequence[Record]) -> None:
        """Write the documents as one version of the table."""
        layout, _ = self._layout_now()
        with self._opened() as table:
            rows = layout.rows(records, table.schema)
            merge = table.merge_insert(layout.id).when_matched_update_all()
            merge.when_not_matched_insert_all().execute(rows, timeout=self._patience)
            self._index_new(table, layout)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents."""
        layout, _ = self._layout_now()
        with self._opened() as table:
            return int(table.delete(layout.having(ids)).num_deleted_rows)

    def count(self) -> int:
        """The number of rows."""
        with self._opened() as table:
            return int(table.count_rows())

    def close(self) -> None:
        """Forget the table; LanceDB holds no connection."""
        with self._opening:
            self._table = None

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with lance_errors(self._url):
            with self._opening:
                if self._table is None:
                    self._table = self._connected().open_table(self._url.name)
                table = self._table
            yield table

    def _connected(self, *, make: bool = False) -> Any:
        where = self._url.folder
        if self._url.transport:
            where = f"{self._url.transport}://{self._url.host}{where}"
        elif not make and not Path(where).is_dir():  # which LanceDB would make
            raise StoreNotFoundError(f"{self._url} does not exist: check its name")
        # Without an interval of 0, writes of other processes would not be seen.
        return lancedb.connect(
            where,
            read_consistency_interval=timedelta(0),
            storage_options=self._patience_with_storage if self._url.transport else None,
        )

    @property
    def _patience_with_storage(self) -> dict[str, str]:
        """How long to try, for the library of object storage, which takes minutes by itself."""
        seconds = f"{max(1, round(self._options.timeout))}"
        return {
            "connect_timeout": f"{seconds}s",
            "timeout": f"{seconds}s",
            "client_retry_timeout": seconds,
            "client_max_retries": str(self._options.retries),
        }

    def _layout_now(self) -> tuple[Layout, str | None]:
        if self._known is None:
            raise StoreNotFoundError(f"{self._url} does not exist: open the store again")
        return self._known

    def _layout(self, schema: pa.Schema, vector: str | None, *, own: bool) -> Layout:
        options = self._options
        if own:
            self._check_own()
            return OwnLayout()
        return found_layout(
            schema,
            id=options.id,
            text=options.text,
            title=options.title,
            searched=options.searched or options.text,
            vector=vector,
        )

    def _check_own(self) -> None:
        """Raise InvalidInputError for columns of a table that has columns of its own."""
        if given := sorted({"id", "text", "title", "searched"} & self._options.model_fields_set):
            raise InvalidInputError(
                f"{self._url} is a table that this library makes, with columns of its own: leave "
                f"out {given[0]}"
            )

    def _distance(self, table: Any, indexes: Any, vector: str) -> str:
        """The distance of the index that searches use; the cosine if they use none."""
        if self._options.exact:
            return "cosine"
        for index in indexes:
            if index.columns == [vector]:
                statistics = table.index_stats(index.name)
                used = statistics.distance_type if statistics else None
                return "cosine" if used in (None, "cosine") else f"{used} in its index"
        return "cosine"

    def _index(self) -> FTS:
        language = self._options.language.capitalize()
        if language not in lang_mapping.values():
            raise InvalidInputError(
                f"language={shown(self._options.language)} has no stemmer in LanceDB: use one of "
                f"{', '.join(sorted(lang_mapping.values()))}"
            )
        return FTS(
            language=language,
            max_token_length=None,
            remove_stop_words=False,
            ascii_folding=False,
        )

    def _index_new(self, table: Any, layout: Layout) -> None:
        """Add rows to the text index once there are many that it lacks."""
        for index in table.list_indices():
            if index.columns == [layout.searched] and index.num_unindexed_rows > MOST_UNINDEXED:
                table.optimize()


def _vectors(schema: pa.Schema) -> list[str]:
    """The columns of vectors."""
    return [
        field.name
        for field in schema
        if pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type)
    ]


def _note(schema: pa.Schema, text: str, url: StoreUrl) -> StoreNote:
    """What this library noted in the table: in the metadata of the column of texts."""
    for name in (text, TEXT):
        metadata = (schema.field(name).metadata or {}) if name in schema.names else {}
        if (noted := metadata.get(NOTE.encode())) is not None:
            try:
                return read_note(json.loads(noted), url)
            except ValueError as error:
                raise StoreMismatchError(
                    f"the note of this library in {url} is not JSON ({error}): restore it"
                ) from error
    return StoreNote()


def _noted(note: StoreNote) -> dict[str, str]:
    """The note as the metadata of a column."""
    return {NOTE: json.dumps(note.written())}
