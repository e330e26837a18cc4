"""The vectors of queries, in a file beside the collection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rerank_search.arguments import document_id
from rerank_search.errors import InvalidInputError
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.formats.tables import table_rows
from rerank_search.shown import shown
from rerank_search.vectors import EncodedQuery, numbers


def with_query_vectors(collection: JudgedCollection, file: Path) -> JudgedCollection:
    """The collection, each judged query with its vector.

    ``file`` is JSONL or Parquet whose rows have ``id`` (or ``_id``) and ``vector``; those of other
    queries are skipped. Raises InvalidInputError, with file and line, for a vector that cannot be
    used, and for a judged query without one.
    """
    wanted = collection.queries.keys() & collection.qrels.keys()
    vectors: dict[str, tuple[float, ...]] = {}
    for row in table_rows(file):
        where = f"{file}, {row.place}"
        id = document_id(row.cells.get("_id", row.cells.get("id")), f"{where}: the id")
        if id in wanted:
            if id in vectors:
                raise InvalidInputError(f"{where}: query {shown(id)} is there twice: remove one")
            vectors[id] = numbers(f"{where}: vector", row.cells.get("vector"))
    if missing := sorted(wanted - vectors.keys()):
        raise InvalidInputError(
            f"{file} has no vector of {len(missing):,} judged queries (first {shown(missing[0])}): "
            "add them"
        )
    queries = {
        query: EncodedQuery(text, vectors[query]) if query in vectors else text
        for query, text in collection.queries.items()
    }
    return replace(collection, queries=queries)
