"""The options of LanceDB."""

from __future__ import annotations

from rerank_search.stores.base import StoreOptions
from rerank_search.stores.lancedb.columns import TEXT


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
