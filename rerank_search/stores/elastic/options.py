"""The options of Elasticsearch and OpenSearch."""

from __future__ import annotations

from rerank_search.stores.base import StoreOptions
from rerank_search.stores.elastic.layouts import METADATA, TEXT, TITLE


class ElasticOptions(StoreOptions):
    """The options of Elasticsearch and OpenSearch.

    ``text``, ``title`` and ``metadata`` are the fields of an index that others made; ``metadata``
    is "*" if all other fields are the metadata. ``searched`` is the field that BM25 ranks by, by
    default ``text``. ``vector`` is the field of vectors. With ``exact`` all vectors are compared,
    without it those that the index of vectors leads to. ``language`` is that of the stemmer in a
    new index.
    """

    text: str = TEXT
    title: str = TITLE
    metadata: str = METADATA
    searched: str | None = None
    vector: str | None = None
    exact: bool = False
    language: str = "english"
