"""Elasticsearch and OpenSearch as a store: BM25, vectors, and filters as their queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

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
from rerank_search.stores.elastic.calls import IndexCalls
from rerank_search.stores.elastic.dialects import (
    MOST_CANDIDATES,
    Dialect,
    Elasticsearch,
    Json,
    OpenSearch,
    VectorField,
)
from rerank_search.stores.elastic.filters import query_of
from rerank_search.stores.elastic.layouts import (
    ATTRIBUTES,
    ID,
    METADATA,
    SEARCHED,
    TEXT,
    TITLE,
    VECTOR,
    FoundLayout,
    Layout,
    OwnLayout,
)
from rerank_search.stores.elastic.options import ElasticOptions
from rerank_search.stores.elastic.words import ANALYZER, analysis, ranks, words_of
from rerank_search.stores.note import NOTE, StoreNote, read_note
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document


class ElasticBackend(StoreBackend):
    """One index of Elasticsearch or OpenSearch."""

    Options: ClassVar[type[StoreOptions]] = ElasticOptions

    def __init__(self, url: StoreUrl, options: ElasticOptions) -> None:
        if not url.host or not url.name or url.folder:
            raise InvalidInputError(
                f"{url} is not the address of an index: write it as {url.scheme}://HOST:9200/INDEX"
            )
        self._url = url
        self._options = options
        self._calls = IndexCalls(url, options.timeout)
        self._dialect: Dialect = (
            OpenSearch() if url.scheme.startswith("opensearch") else Elasticsearch()
        )
        self._known: tuple[Layout, str | None] | None = None

    def describe(self) -> StoreDescription | None:
        """The stages, the vectors and the encoder of the index."""
        if (mapping := self._calls.mapping()) is None:
            return None
        note = self._note(mapping)
        fields = mapping.get("properties") or {}
        options = self._options
        vectors = [name for name, each in fields.items() if self._dialect.vector_field(each)]
        vector = chosen_vector(self._url, vectors, wanted=options.vector, usual=VECTOR)
        layout: Layout = OwnLayout()
        if note.own:
            self._check_own()
        else:
            layout = FoundLayout(
                options.text,
                options.title,
                options.metadata,
                options.searched or options.text,
                vector,
                fields,
            )
        ranked = ranks(fields.get(layout.searched) or {})
        if options.searched is not None and not ranked:
            raise StoreMismatchError(
                f"{self._url} does not rank by BM25 by the field {shown(layout.searched)}: name a "
                "field of the type text"
            )
        self._known = layout, vector
        self.breaks_ties = layout.id_field is not None
        found = None if vector is None else self._dialect.vector_field(fields[vector])
        return StoreDescription(
            stages=(*([BM25] if ranked else []), *([] if vector is None else [DENSE])),
            dimension=None if found is None else found.dimension,
            distance=None if found is None else self._distance(found),
            encoder=note.encoder,
        )

    def create(self, new: NewStore) -> None:
        """Make the index, or note the encoder of one that exists."""
        mapping = self._calls.mapping()
        if mapping is not None:
            noted = self._note(mapping)
            if noted.encoder is None:
                note = StoreNote(own=noted.own, encoder=new.encoder)
                self._calls.annotate({**(mapping.get("_meta") or {}), NOTE: note.written()})
            return
        self._check_own()
        properties: Json = {
            ID: {"type": "keyword"},
            TITLE: {"type": "text", "index": False, "copy_to": SEARCHED},
            TEXT: {"type": "text", "index": False, "copy_to": SEARCHED},
            SEARCHED: {"type": "text", "analyzer": ANALYZER},
            METADATA: {"type": "object", "enabled": False},
            ATTRIBUTES: {"type": "keyword"},
        }
        settings: Json = {"analysis": analysis(self._options.language)}
        if new.dimension is not None:
            properties[VECTOR] = self._dialect.mapping(new.dimension)
            settings |= self._dialect.settings
        note = StoreNote(own=True, encoder=new.encoder)
        mappings = {"dynamic": False, "_meta": {NOTE: note.written()}, "properties": properties}
        self._calls.create(settings, mappings)

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best documents by BM25."""
        layout, _ = self._layout_now()
        words = {"match": {layout.searched: {"query": words_of(query)}}}
        conditions = self._conditions(filter, ids)
        # All shards weigh words by the frequencies of all of them.
        return self._best(
            {"bool": {"must": [words], "filter": conditions}}, k, search_type="dfs_query_then_fetch"
        )

    def search_vector(
        self,
        vector: NDArray[np.float32],
        k: int,
        filter: FilterTree | None,
        ids: Sequence[str] | None,
    ) -> list[Scored]:
        """The best documents by their vectors."""
        _, field = self._layout_now()
        if field is None:
            raise StoreMismatchError(f"{self._url} has no vectors: use another first stage")
        numbers, conditions = vector.tolist(), self._conditions(filter, ids)
        if self._options.exact or ids is not None or k > MOST_CANDIDATES:
            found = self._best(self._dialect.compared(field, numbers, conditions), k)
            return [(id, score - 1.0) for id, score in found]
        found = self._best(self._dialect.nearest(field, numbers, k, conditions), k)
        return [(id, 2.0 * score - 1.0) for id, score in found]

    def fetch(self, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids."""
        layout, _ = self._layout_now()
        found = self._calls.documents([layout.key(id) for id in ids])
        return [layout.document(each) for each in found]

    def upsert(self, records: Sequence[Record]) -> None:
        """Write the documents in one request; those before one that is refused may be written."""
        layout, _ = self._layout_now()
        self._calls.write({layout.key(each.id): (each.id, layout.source(each)) for each in records})

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents in one request."""
        layout, _ = self._layout_now()
        return self._calls.delete({layout.key(id): id for id in ids})

    def count(self) -> int:
        """The number of documents."""
        return self._calls.count()

    def close(self) -> None:
        """Close the connections."""
        self._calls.close()

    def _check_own(self) -> None:
        """Raise InvalidInputError for fields of an index that has fields of its own."""
        named = {"text", "title", "metadata", "searched"}
        if given := sorted(named & self._options.model_fields_set):
            raise InvalidInputError(
                f"{self._url} is an index that this library makes, with fields of its own: leave "
                f"out {given[0]}"
            )

    def _distance(self, field: VectorField) -> str:
        """What vectors are compared by, and need length 1 for."""
        compared = self._options.exact and field.distance != "dot"
        return "cosine" if compared else field.distance

    def _note(self, mapping: Mapping[str, Any]) -> StoreNote:
        return read_note((mapping.get("_meta") or {}).get(NOTE), self._url)

    def _layout_now(self) -> tuple[Layout, str | None]:
        if self._known is None:
            raise StoreNotFoundError(f"{self._url} does not exist: open the store again")
        return self._known

    def _conditions(self, filter: FilterTree | None, ids: Sequence[str] | None) -> list[Json]:
        layout, _ = self._layout_now()
        conditions = [] if filter is None else [query_of(filter, layout.filters)]
        return conditions if ids is None else [*conditions, layout.having(ids)]

    def _best(self, query: Json, k: int, **parameters: str) -> list[Scored]:
        """The ids and scores of a query, page by page."""
        layout, _ = self._layout_now()
        field = layout.id_field
        order: list[Json] = [{"_score": "desc"}, *([] if field is None else [{field: "asc"}])]
        found: list[Scored] = []
        after: Json = {}
        while len(found) < k:
            size = min(k - len(found), MOST_CANDIDATES)
            body: Json = {
                "query": query,
                "size": size,
                "sort": order,
                "track_scores": True,
                "track_total_hits": False,
                "_source": False,
                **after,
            }
            hits = self._calls.hits(body, **parameters)
            for hit in hits:
                found.append((hit["_id"] if field is None else hit["sort"][1], hit["_score"]))
            if len(hits) < size:
                break
            if field is None and len(found) < k:
                raise InvalidInputError(
                    f"more than {MOST_CANDIDATES:,} documents of {self._url} have to be compared, "
                    "and there may be no more in an index that this library did not make: use a "
                    "lower k, or words that fewer documents have in the same way"
                )
            after = {"search_after": hits[-1]["sort"]}
        return found
