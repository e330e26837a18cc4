"""LanceDB as a store: BM25 by its full-text index, vectors, and filters in its SQL."""

from __future__ import annotations

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
    vector_columns,
)
from rerank_search.stores.lancedb.errors import lance_errors
from rerank_search.stores.lancedb.filters import joined
from rerank_search.stores.lancedb.notes import note_in, written
from rerank_search.stores.lancedb.options import LanceOptions
from rerank_search.stores.lancedb.text_index import index_new_rows, text_index
from rerank_search.stores.note import StoreNote
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document


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
                note = note_in(schema, self._options.text, self._url)
                vector = chosen_vector(
                    self._url, vector_columns(schema), wanted=self._options.vector, usual=VECTOR
                )
                layout = self._layout(schema, vector, own=note.own)
                ranked = any(
                    index.index_type == "FTS" and index.columns == [layout.searched]
                    for index in indexes
                )
                if note.own and not ranked:  # whoever made the table did not come this far
                    table.create_index(SEARCHED, config=text_index(self._options.language))
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
        index = text_index(self._options.language)
        with lance_errors(self._url):
            database = self._connected(make=True)
            if (made := self._new_table(database, new)) is not None:
                made.create_index(SEARCHED, config=index)
                return
            table = database.open_table(self._url.name)
            noted = note_in(table.schema, self._options.text, self._url)
            if noted.encoder is None:
                column = TEXT if noted.own else self._options.text
                note = StoreNote(own=noted.own, encoder=new.encoder)
                table.update_field_metadata({"path": column, "metadata": written(note)})

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
        schema = own_schema(new.dimension, written(note))
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
            index_new_rows(table, layout.searched)

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
