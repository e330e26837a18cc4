"""The calls that are made to one index, and their answers, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from rerank_search.errors import (
    InvalidDocumentError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.shown import shown
from rerank_search.stores.elastic.dialects import Json
from rerank_search.stores.elastic.http import ElasticHttp, reason_in
from rerank_search.stores.url import StoreUrl


class IndexCalls:
    """One index. Threads share one; every method raises errors of the StoreError family."""

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        self._url = url
        self._http = ElasticHttp(url, timeout)
        self._path = f"/{quote(url.name, safe='')}"

    def mapping(self) -> Json | None:
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

    def create(self, settings: Json, mappings: Json) -> None:
        """Make the index, unless there is one."""
        try:
            self._http.ask("PUT", self._path, {"settings": settings, "mappings": mappings})
        except StoreMismatchError as error:
            if "resource_already_exists" not in str(error):  # which another process has made
                raise

    def annotate(self, meta: Json) -> None:
        """Replace what the mapping keeps about the index."""
        self._http.ask("PUT", f"{self._path}/_mapping", {"_meta": meta})

    def hits(self, body: Json, **parameters: str) -> list[Any]:
        """The hits of a search, each with its score."""
        answer = self._http.ask(
            "POST",
            f"{self._path}/_search",
            body,
            allow_partial_search_results="false",
            **parameters,
        )
        if isinstance(answer, dict) and answer.get("timed_out"):
            raise StoreTimeoutError(f"{self._url} did not search all documents in time")
        listed = self._listed(answer.get("hits") if isinstance(answer, dict) else None, "hits")
        for hit in listed:
            if not isinstance(hit.get("_score"), (int, float)):
                raise self._http.unreadable(f"a hit has no score: {shown(hit)}")
        return listed

    def documents(self, keys: Sequence[str]) -> list[Any]:
        """The documents with these ids of the engine, without those that are missing."""
        listed = self._listed(
            self._http.ask("POST", f"{self._path}/_mget", {"ids": list(keys)}), "docs"
        )
        for each in listed:
            if "error" in each:  # such as that of a shard, whose documents are not missing
                self._raise(each, each.get("status"))
            if each.get("found") and not isinstance(each.get("_source"), dict):
                raise StoreMismatchError(
                    f"{self._url} does not keep the documents that it indexes (_source): allow "
                    "that in its mapping, and write them again"
                )
        return [each for each in listed if each.get("found")]

    def write(self, documents: Mapping[str, tuple[str, Json]]) -> None:
        """Write documents (id, source) by the engine's ids; they can be found when it returns."""
        self._http.ask("GET", self._path)  # a bulk request would make an index that is gone
        lines: list[Json] = []
        for key, (_, source) in documents.items():
            lines += [{"index": {"_id": key}}, source]
        for (id, _), done in zip(documents.values(), self._bulk(lines), strict=True):
            self._check(done, id)

    def delete(self, documents: Mapping[str, str]) -> int:
        """Delete documents, whose ids these are by the engine's; return how many there were."""
        results = self._bulk([{"delete": {"_id": key}} for key in documents])
        for id, done in zip(documents.values(), results, strict=True):
            if done.get("status") != 404 or "error" in done:
                self._check(done, id)
        return sum(done.get("result") == "deleted" for done in results)

    def count(self) -> int:
        """The number of documents."""
        answer = self._http.ask("POST", f"{self._path}/_count")
        if not isinstance(answer, dict) or not isinstance(answer.get("count"), int):
            raise self._http.unreadable(f"it has no count: {shown(answer)}")
        if (answer.get("_shards") or {}).get("failed"):
            raise StoreUnreachableError(
                f"some shards of {self._url} cannot answer now: try again later"
            )
        return int(answer["count"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _bulk(self, lines: Sequence[Json]) -> list[Any]:
        """The result of each action."""
        answer = self._http.ask("POST", f"{self._path}/_bulk", lines=lines, refresh="true")
        return [next(iter(item.values())) for item in self._listed(answer, "items")]

    def _check(self, done: Mapping[str, Any], id: str) -> None:
        """Raise the error of one action of a bulk request."""
        status = done.get("status")
        if status == 400:
            raise InvalidDocumentError(
                f"the document {shown(id)} is refused by {self._url} "
                f"({self._http.said(reason_in(done))}): change it to fit the fields of the index"
            )
        if not isinstance(status, int) or status >= 300:
            self._raise(done, status)

    def _raise(self, part: Mapping[str, Any], status: Any) -> None:
        """Raise the error of a part of an answer."""
        reason = reason_in(part)
        if not isinstance(status, int):  # _mget gives none
            said = str(reason)
            status = 404 if "index_not_found" in said else 503 if "shard" in said else 500
        raise self._http.refusal(status, reason)

    def _listed(self, answer: Any, name: str) -> list[Any]:
        listed = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            raise self._http.unreadable(f"it has no list {name}: {shown(answer)}")
        return listed
