"""Elasticsearch and OpenSearch as a store: BM25, vectors, and filters as their queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from rerank_search.built_in_stages import BM25, DENSE
from rerank_search.errors import (
    InvalidDocumentError,
    InvalidInputError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
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
from rerank_search.stores.elastic.dialects import (
    MOST_CANDIDATES,
    Dialect,
    Elasticsearch,
    Json,
    OpenSearch,
)
from rerank_search.stores.elastic.filters import query_of
from rerank_search.stores.elastic.http import ElasticHttp, reason_in
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
from rerank_search.stores.note import NOTE, StoreNote, read_note
from rerank_search.stores.url import StoreUrl
from rerank_search.types import Document

ANALYZER = "rerank_search"
"""The name of the analyzer of a new index."""

MOST_WORDS = 1_000
"""Most words of a query, below the number of clauses that the engines take."""


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
        self._http = ElasticHttp(url, options.timeout)
        self._dialect: Dialect = (
            OpenSearch() if url.scheme.startswith("opensearch") else Elasticsearch()
        )
        self._path = f"/{quote(url.name, safe='')}"
        self._known: tuple[Layout, str | None] | None = None

    def describe(self) -> StoreDescription | None:
        """The stages, the vectors and the encoder of the index."""
        if (mapping := self._mapping()) is None:
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
        ranked = _ranks(fields.get(layout.searched) or {})
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
            distance=None if found is None else "cosine" if options.exact else found.distance,
            encoder=note.encoder,
        )

    def create(self, new: NewStore) -> None:
        """Make the index, or note the encoder of one that exists."""
        mapping = self._mapping()
        if mapping is not None:
            note = StoreNote(own=self._note(mapping).own, encoder=new.encoder)
            kept = {**(mapping.get("_meta") or {}), NOTE: note.written()}
            self._http.ask("PUT", f"{self._path}/_mapping", {"_meta": kept})
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
        settings: Json = {"analysis": _analysis(self._options.language)}
        if new.dimension is not None:
            properties[VECTOR] = self._dialect.mapping(new.dimension)
            settings |= self._dialect.settings
        note = StoreNote(own=True, encoder=new.encoder)
        mappings = {"dynamic": False, "_meta": {NOTE: note.written()}, "properties": properties}
        try:
            self._http.ask("PUT", self._path, {"settings": settings, "mappings": mappings})
        except StoreMismatchError as error:
            if "resource_already_exists" not in str(error):  # which another process has made
                raise

    def search_text(
        self, query: str, k: int, filter: FilterTree | None, ids: Sequence[str] | None
    ) -> list[Scored]:
        """The best documents by BM25."""
        layout, _ = self._layout_now()
        words = {"match": {layout.searched: {"query": _words(query)}}}
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
        body = {"ids": [layout.key(id) for id in ids]}
        answer = self._http.ask("POST", f"{self._path}/_mget", body)
        return [layout.document(each) for each in self._listed(answer, "docs") if each.get("found")]

    def upsert(self, records: Sequence[Record]) -> None:
        """Write the documents in one request; those before one that is refused may be written."""
        layout, _ = self._layout_now()
        sources = [layout.source(record) for record in records]
        lines: list[Json] = []
        for record, source in zip(records, sources, strict=True):
            lines += [{"index": {"_id": layout.key(record.id)}}, source]
        for record, done in zip(records, self._bulk(lines), strict=True):
            self._check(done, f"the document {shown(record.id)}")

    def delete(self, ids: Sequence[str]) -> int:
        """Delete the documents in one request."""
        layout, _ = self._layout_now()
        results = self._bulk([{"delete": {"_id": layout.key(id)}} for id in ids])
        for id, done in zip(ids, results, strict=True):
            if done.get("status") != 404:
                self._check(done, f"the document {shown(id)}")
        return sum(done.get("result") == "deleted" for done in results)

    def count(self) -> int:
        """The number of documents."""
        answer = self._http.ask("POST", f"{self._path}/_count")
        if not isinstance(answer, dict) or not isinstance(answer.get("count"), int):
            raise self._http.unreadable(f"it has no count: {shown(answer)}")
        return int(answer["count"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _check_own(self) -> None:
        """Raise InvalidInputError for fields of an index that has fields of its own."""
        named = {"text", "title", "metadata", "searched"}
        if given := sorted(named & self._options.model_fields_set):
            raise InvalidInputError(
                f"{self._url} is an index that this library makes, with fields of its own: leave "
                f"out {given[0]}"
            )

    def _mapping(self) -> Json | None:
        """The mapping of the index; None if there is no such index."""
        try:
            answer = self._http.ask("GET", self._path)
        except StoreNotFoundError:
            return None
        if not isinstance(answer, dict) or not all(isinstance(v, dict) for v in answer.values()):
            raise self._http.unreadable(f"it has no mappings: {shown(answer)}")
        if len(answer) != 1:
            raise StoreMismatchError(
                f"{self._url} is {len(answer)} indices: name one of them; there are "
                f"{shown(sorted(answer))}"
            )
        [found] = answer.values()
        mapping: Json = found.get("mappings") or {}
        return mapping

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
        if field is None and k > MOST_CANDIDATES:
            raise InvalidInputError(
                f"k={k:,} is too large for an index that this library did not make: use at most "
                f"{MOST_CANDIDATES:,}"
            )
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
            hits = self._hits(body, parameters)
            for hit in hits:
                found.append((hit["_id"] if field is None else hit["sort"][1], hit["_score"]))
            if len(hits) < size or field is None:
                break
            after = {"search_after": hits[-1]["sort"]}
        return found

    def _hits(self, body: Json, parameters: Mapping[str, str]) -> list[Any]:
        answer = self._http.ask(
            "POST",
            f"{self._path}/_search",
            body,
            allow_partial_search_results="false",
            **parameters,
        )
        if isinstance(answer, dict) and answer.get("timed_out"):
            raise StoreTimeoutError(f"{self._url} did not search all documents in time")
        hits = answer.get("hits") if isinstance(answer, dict) else None
        listed = self._listed(hits, "hits")
        for hit in listed:
            if not isinstance(hit.get("_score"), (int, float)):
                raise self._http.unreadable(f"a hit has no score: {shown(hit)}")
        return listed

    def _bulk(self, lines: Sequence[Json]) -> list[Any]:
        """The result of each action; what was written can be found when it returns."""
        answer = self._http.ask("POST", f"{self._path}/_bulk", lines=lines, refresh="true")
        items = self._listed(answer, "items")
        return [next(iter(item.values())) for item in items]

    def _check(self, done: Mapping[str, Any], what: str) -> None:
        """Raise the error of one action of a bulk request."""
        status = done.get("status")
        if not isinstance(status, int):
            raise self._http.unreadable(f"an action has no status: {shown(done)}")
        if status < 300:
            return
        reason = reason_in(done)
        if status == 400:
            raise InvalidDocumentError(
                f"{what} is refused by {self._url} ({shown(reason, 300)}): change it to fit the "
                "fields of the index"
            )
        raise self._http.refusal(status, reason)

    def _listed(self, answer: Any, name: str) -> list[Any]:
        listed = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise self._http.unreadable(f"it has no list {name}: {shown(answer)}")
        return listed


def _ranks(field: Mapping[str, Any]) -> bool:
    """Whether the engine ranks by BM25 by a field with this mapping."""
    return (
        field.get("type") == "text"
        and field.get("index", True) is not False
        and field.get("similarity") in (None, "BM25")
    )


def _words(query: str) -> str:
    """The words of a query; each one once if they are very many."""
    words = query.split()
    if len(words) <= MOST_WORDS:
        return query
    return " ".join(list(dict.fromkeys(words))[:MOST_WORDS])


def _analysis(language: str) -> Json:
    stemmer = f"{ANALYZER}_stemmer"
    return {
        "filter": {stemmer: {"type": "stemmer", "language": language}},
        "analyzer": {
            ANALYZER: {"type": "custom", "tokenizer": "standard", "filter": ["lowercase", stemmer]}
        },
    }
