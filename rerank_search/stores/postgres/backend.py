"""A table of PostgreSQL as the engine of a store: vectors by pgvector, words by tsvector."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from rerank_search.built_in_stages import DENSE
from rerank_search.errors import StoreMismatchError, StoreNotFoundError
from rerank_search.storage.filter_tree import FilterTree
from rerank_search.storage.records import Record
from rerank_search.stores.base import NewStore, Scored, StoreBackend, StoreDescription
from rerank_search.stores.postgres.address import connection_parameters
from rerank_search.stores.postgres.connections import Connection, Connections
from rerank_search.stores.postgres.creation import check_language, create_table
from rerank_search.stores.postgres.encoders import forget_encoder, record_encoder, recorded_encoder
from rerank_search.stores.postgres.filters import condition
from rerank_search.stores.postgres.graph import check_iterative_scans, graph_settings
from rerank_search.stores.postgres.options import PostgresOptions
from rerank_search.stores.postgres.parameters import Parameters
from rerank_search.stores.postgres.rows import known_ids, write
from rerank_search.stores.postgres.table import Column, Table, find_table
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document

TEXT = "text"
"""The name of the first stage by words: it is not BM25, since it knows no rarity of words."""

LONGEST_QUERY = 100_000
"""Characters of a query that are searched for words."""

_BY_WORDS = """
WITH asked AS (
    SELECT string_agg(
        '''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | '
    )::tsquery AS query
    FROM unnest(to_tsvector({language}, {query})) AS words
)
SELECT {id}::text, ts_rank({words}, asked.query, 1) AS score FROM {table} AS d, asked
WHERE {words} @@ asked.query AND {where} ORDER BY score DESC, {id}::text COLLATE "C" LIMIT {k}
"""

# The 0 keeps the planner from asking an approximate index. NaN is the distance of a vector of
# zeros, and comes last.
_BY_ALL_VECTORS = """
SELECT {id}::text, {distance} FROM {table} AS d WHERE {vector} IS NOT NULL AND {where}
ORDER BY {distance} + 0, {id}::text COLLATE "C" LIMIT {k}
"""

_BY_GRAPH = """
SELECT {id}::text, {distance} FROM {table} AS d WHERE {vector} IS NOT NULL AND {where}
ORDER BY {distance}, {id}::text COLLATE "C" LIMIT {k}
"""

_FETCH = """
SELECT {id}::text, {text}, {title}, {metadata} FROM {table} AS d WHERE {id} = ANY ({ids})
"""


class PostgresBackend(StoreBackend):
    """A table, its vectors compared by their cosines and its words ranked by ts_rank.

    A document is found by words if it has one of the query's. The order is total in SQL already.
    """

    Options = PostgresOptions
    breaks_ties = True

    def __init__(self, url: StoreUrl, options: PostgresOptions) -> None:
        self._name = str(url)
        self._options = options
        self._connections = Connections(
            self._name, connection_parameters(url, options.connection), options.timeout
        )
        self._found: Table | None = None

    def describe(self) -> StoreDescription | None:
        """The table's columns as first stages; None if there is no such table."""
        with self._connections.transaction() as connection:
            check_language(connection, self._options.language)
            table = find_table(connection, self._options, self._name)
            if table is None:
                return None
            self._found = table
            if table.vector is None:
                return StoreDescription((TEXT,))
            if self._options.search == "hnsw":
                check_iterative_scans(connection, self._name)
            return StoreDescription(
                (TEXT, DENSE),
                _dimension(connection, table, table.vector, self._name),
                "cosine",
                recorded_encoder(connection, table, table.vector, self._name),
            )

    def create(self, new: NewStore) -> None:
        """Make the table unless there is one, and record the encoder unless one is recorded."""
        with self._connections.transaction() as connection:
            made = False
            table = find_table(connection, self._options, self._name)
            if table is None:
                made = create_table(connection, self._options, new, self._name)
                table = find_table(connection, self._options, self._name)
            if table is None or table.vector is None:
                return
            if made:
                forget_encoder(connection, table, table.vector)
            if new.encoder is not None:
                record_encoder(connection, table, table.vector, new.encoder)

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best documents with one of the query's words, by ts_rank."""
        parameters = Parameters()
        table = self._table
        asked = parameters.text(query.replace("\0", " ")[:LONGEST_QUERY])
        language = parameters.bind(self._options.language, sql.SQL("regconfig"))
        return self._scored(
            sql.SQL(_BY_WORDS).format(
                id=table.id.of_row,
                words=_words(table, language),
                table=table.quoted,
                language=language,
                query=asked,
                where=self._where(filter, ids, parameters),
                k=parameters.bind(k, sql.SQL("int8")),
            ),
            parameters,
        )

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        """The best documents by the cosine: of all that are allowed, or by the HNSW index."""
        parameters = Parameters()
        table, column = self._table, self._vector
        asked = parameters.bind(f"[{','.join(map(repr, vector.tolist()))}]", column.type)
        approximate = self._options.search == "hnsw" and filter is None and ids is None
        query = sql.SQL(_BY_GRAPH if approximate else _BY_ALL_VECTORS).format(
            id=table.id.of_row,
            distance=sql.SQL("({} OPERATOR({}.<=>) {})").format(
                column.of_row, sql.Identifier(column.schema), asked
            ),
            table=table.quoted,
            vector=column.of_row,
            where=self._where(filter, ids, parameters),
            k=parameters.bind(k, sql.SQL("int8")),
        )
        settings = graph_settings(k) if approximate else {}
        found = self._scored(query, parameters, settings)
        return [(id, 1.0 - distance) for id, distance in found if not math.isnan(distance)]

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids; a NULL is an empty text or no metadata."""
        parameters = Parameters()
        table = self._table
        query = sql.SQL(_FETCH).format(
            id=table.id.of_row,
            text=table.text.of_row,
            title=sql.SQL("NULL") if table.title is None else table.title.of_row,
            metadata=sql.SQL("{}::text").format(_metadata(table)),
            table=table.quoted,
            ids=self._ids(ids, parameters),
        )
        with self._connections.transaction() as connection:
            rows = connection.execute(query, parameters.values).fetchall()
        return [
            Document(str(id), str(text or ""), str(title or ""), _read(metadata))
            for id, text, title, metadata in rows
        ]

    def upsert(self, records: Sequence[Record]) -> None:
        """Write all documents in one transaction, or none."""
        with self._connections.transaction() as connection:
            write(connection, self._table, records, self._name)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete documents; return how many there were."""
        parameters = Parameters()
        query = sql.SQL("DELETE FROM {} AS d WHERE {} = ANY ({})").format(
            self._table.quoted, self._table.id.of_row, self._ids(ids, parameters)
        )
        with self._connections.transaction() as connection:
            return connection.execute(query, parameters.values).rowcount

    def count(self) -> int:
        """The number of rows with an id."""
        query = sql.SQL("SELECT count({}) FROM {} AS d").format(
            self._table.id.of_row, self._table.quoted
        )
        with self._connections.transaction() as connection:
            [[number]] = connection.execute(query)
        return int(str(number))

    def close(self) -> None:
        """Close all connections."""
        self._connections.close()

    @property
    def _table(self) -> Table:
        if self._found is None:
            raise StoreNotFoundError(f"{self._name} does not exist: open the store again")
        return self._found

    @property
    def _vector(self) -> Column:
        if self._table.vector is None:
            raise StoreMismatchError(f"{self._name} has no column with vectors")
        return self._table.vector

    def _where(
        self, filter: FilterTree | None, ids: Sequence[str] | None, parameters: Parameters
    ) -> sql.Composable:
        table = self._table
        conditions = [sql.SQL("{} IS NOT NULL").format(table.id.of_row)]
        if ids is not None:
            conditions.append(
                sql.SQL("{} = ANY ({})").format(table.id.of_row, self._ids(ids, parameters))
            )
        if filter is not None:
            allowed = condition(filter, _metadata(table), parameters)
            conditions.append(sql.SQL("({})").format(allowed))
        return sql.SQL(" AND ").join(conditions)

    def _ids(self, ids: Sequence[str], parameters: Parameters) -> sql.Composable:
        column = self._table.id
        kind = sql.SQL("{}[]").format(column.type)
        return parameters.bind(known_ids(column, ids), kind)

    def _scored(
        self,
        query: sql.Composed,
        parameters: Parameters,
        settings: Mapping[str, str] | None = None,
    ) -> list[Scored]:
        with self._connections.transaction() as connection:
            for name, value in (settings or {}).items():
                connection.execute("SELECT set_config(%s, %s, true)", [name, value])
            rows = connection.execute(query, parameters.values).fetchall()
        return [(str(id), float(str(score))) for id, score in rows]


def _words(table: Table, language: sql.Composable) -> sql.Composable:
    """The words of a document: those that are stored, or those of its title and its text."""
    if table.words is not None:
        return table.words.of_row
    text = sql.SQL("coalesce({}, '')").format(table.text.of_row)
    if table.title is not None:
        title = sql.SQL("coalesce({}, '')").format(table.title.of_row)
        text = sql.SQL("{} || ' ' || {}").format(title, text)
    return sql.SQL("to_tsvector({}, {})").format(language, text)


def _metadata(table: Table) -> sql.Composable:
    """The metadata as JSONB."""
    if table.metadata is None:
        return sql.SQL("NULL::jsonb")
    return sql.SQL("{}::jsonb").format(table.metadata.of_row)


def _read(metadata: object) -> dict[str, Any]:
    """The metadata of a row; JSON that is not an object is none."""
    found = json.loads(str(metadata)) if metadata is not None else {}
    return found if isinstance(found, dict) else {}


def _dimension(connection: Connection, table: Table, vector: Column, store: str) -> int:
    """The length of the vectors: of the column's type, or else of one of its values."""
    if vector.size > 0:
        return vector.size
    length = sql.SQL("SELECT {}.vector_dims({}) FROM {} AS d WHERE {} IS NOT NULL LIMIT 1").format(
        sql.Identifier(vector.schema), vector.of_row, table.quoted, vector.of_row
    )
    row = connection.execute(length).fetchone()
    if row is None:
        raise StoreMismatchError(
            f"the column {vector.name!r} of {store} does not say how long its vectors are: declare "
            f"it, ALTER TABLE ... ALTER COLUMN {vector.name} TYPE {vector.kind}(384)"
        )
    return int(str(row[0]))
