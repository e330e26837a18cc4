"""A server with the parts of the REST API of Elasticsearch and OpenSearch that the store calls.

It is written after their published references, and keeps documents in memory. It refuses what the
store does not send, so that a change of a request has to be made here too.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from rerank_search.retrieval.memory import MemoryRetriever

MISSING = {
    "error": {
        "root_cause": [{"type": "index_not_found_exception", "reason": "no such index"}],
        "type": "index_not_found_exception",
        "reason": "no such index",
    },
    "status": 404,
}


class ElasticServer:
    """The app, the indices, and all requests (method, path, parameters, body).

    ``refusals`` are the answers, each a status and a body, that the next requests get; in
    ``refused_items`` are those for actions of a bulk request, by the engine's ids.
    """

    def __init__(self) -> None:
        self.indices: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.keys: list[str | None] = []
        self.refusals: list[tuple[int, Any]] = []
        self.refused_items: dict[str, dict[str, Any]] = {}
        self._turns = threading.Lock()
        self.app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        self.app.add_api_route("/{path:path}", self.answer, methods=["GET", "POST", "PUT"])

    def clear(self) -> None:
        for kept in (self.indices, self.requests, self.keys, self.refusals, self.refused_items):
            kept.clear()

    async def answer(self, path: str, request: Request) -> JSONResponse:
        content = (await request.body()).decode()
        if request.headers.get("content-type") == "application/x-ndjson":
            assert content.endswith("\n")
            body: Any = [json.loads(line) for line in content.splitlines()]
        else:
            body = json.loads(content) if content else None
        with self._turns:
            self.requests.append((request.method, path, dict(request.query_params), body))
            self.keys.append(request.headers.get("authorization"))
            if self.refusals:
                status, said = self.refusals.pop(0)
                return JSONResponse(said, status)
            name, _, action = path.partition("/")
            if action == "_bulk":  # which makes an index, as the engines do
                self.indices.setdefault(name, {"mappings": {}, "documents": {}})
            if name not in self.indices and (request.method, action) != ("PUT", ""):
                return JSONResponse(MISSING, 404)
            return JSONResponse(self.result(request.method, name, action, body))

    def result(self, method: str, name: str, action: str, body: Any) -> Any:
        match method, action:
            case "PUT", "":
                self.indices[name] = {**body, "documents": {}}
                return {"acknowledged": True, "shards_acknowledged": True, "index": name}
            case "GET", "":
                index = self.indices[name]
                known = {key: index[key] for key in ("mappings", "settings") if key in index}
                return {name: {"aliases": {}, **known}}
            case "PUT", "_mapping":
                self.indices[name]["mappings"] |= body
                return {"acknowledged": True}
        documents = self.indices[name]["documents"]
        match method, action:
            case "POST", "_count":
                return {"count": len(documents), "_shards": {"total": 1, "failed": 0}}
            case "POST", "_mget":
                return {"docs": [_document(name, documents, id) for id in body["ids"]]}
            case "POST", "_bulk":
                return {
                    "took": 1,
                    "errors": bool(self.refused_items),
                    "items": self.bulk(name, body),
                }
            case "POST", "_search":
                return self.search(name, body)
        raise AssertionError(f"{method} {name}/{action} is not in this server")

    def bulk(self, name: str, lines: list[Any]) -> list[Any]:
        documents = self.indices[name]["documents"]
        items = []
        rest = iter(lines)
        for line in rest:
            [(action, about)] = line.items()
            id = about["_id"]
            source = next(rest) if action == "index" else None
            if id in self.refused_items:
                items.append({action: {"_index": name, "_id": id, **self.refused_items[id]}})
                continue
            there = id in documents
            if source is not None:
                documents[id] = source
                done = {"result": "updated" if there else "created", "status": 201}
            elif documents.pop(id, None) is not None:
                done = {"result": "deleted", "status": 200}
            else:
                done = {"result": "not_found", "status": 404}
            items.append({action: {"_index": name, "_id": id, **done}})
        return items

    def search(self, name: str, body: Any) -> Any:
        index = self.indices[name]
        documents = index["documents"]
        assert body["track_scores"] is True
        assert body["_source"] is False
        by = [next(iter(each)) for each in body["sort"]]
        assert by[0] == "_score"
        scores = _scores(body["query"], index["mappings"]["properties"], documents)
        hits = [
            {
                "_index": name,
                "_id": id,
                "_score": score,
                "sort": [score, *(documents[id][field] for field in by[1:])],
            }
            for id, score in scores.items()
        ]
        hits.sort(key=lambda hit: (-hit["_score"], *hit["sort"][1:]))
        if "search_after" in body:
            score, id = body["search_after"]
            hits = [hit for hit in hits if (-hit["_score"], hit["sort"][1]) > (-score, id)]
        return {
            "took": 1,
            "timed_out": False,
            "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
            "hits": {"max_score": None, "hits": hits[: body["size"]]},
        }


def _document(name: str, documents: dict[str, Any], id: str) -> dict[str, Any]:
    if id not in documents:
        return {"_index": name, "_id": id, "found": False}
    return {"_index": name, "_id": id, "_version": 1, "found": True, "_source": documents[id]}


def _scores(query: Any, fields: Any, documents: dict[str, Any]) -> dict[str, float]:
    """The scores of the documents that a query finds."""
    [(kind, asked)] = query.items()
    if kind == "bool" and "must" in asked:
        [words] = asked["must"]
        [(field, match)] = words["match"].items()
        copied = [name for name, each in fields.items() if each.get("copy_to") == field] or [field]
        ids = list(documents)
        texts = ["\n".join(documents[id].get(name) or "" for name in copied) for id in ids]
        found = {
            ids[place]: score for place, score in MemoryRetriever(texts).best(match["query"], 10**6)
        }
        return {id: found[id] for id in found if _all(asked["filter"], id, documents[id])}
    if kind == "script_score":
        script = asked["script"]
        having = asked["query"]["bool"]["filter"]
        field = having[0]["exists"]["field"]
        asked_field = script["params"].get("field")
        assert script["source"] == (
            "cosineSimilarity(params.vector, '" + field.replace("'", "\\'") + "') + 1.0"
            if asked_field is None
            else "1.0 + cosineSimilarity(params.vector, doc[params.field])"
        )
        assert asked_field in (None, field)
        vector = script["params"]["vector"]
        return {
            id: 1 + cosine(vector, source[field])
            for id, source in documents.items()
            if _all(having, id, source)
        }
    assert kind == "knn"
    if "field" in asked:
        field, vector, conditions = asked["field"], asked["query_vector"], asked["filter"]
        assert 1 <= asked["num_candidates"] <= 10_000
    else:
        [(field, wanted)] = asked.items()
        vector = wanted["vector"]
        conditions = wanted.get("filter", {"bool": {"filter": []}})["bool"]["filter"]
    return {
        id: (1 + cosine(vector, source[field])) / 2
        for id, source in documents.items()
        if _all(conditions, id, source)
    }


def cosine(one: list[float], other: list[float]) -> float:
    first, second = np.array(one), np.array(other)
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def _all(queries: Any, id: str, source: Any) -> bool:
    return all(_allows(query, id, source) for query in queries)


def _allows(query: Any, id: str, source: Any) -> bool:
    """Whether a query in a filter holds for a document."""
    [(kind, asked)] = query.items()
    if kind == "bool":
        any_of = asked.get("should")
        return (
            _all(asked.get("filter", []), id, source)
            and not any(_allows(each, id, source) for each in asked.get("must_not", []))
            and (any_of is None or any(_allows(each, id, source) for each in any_of))
        )
    if kind in ("match_all", "match_none"):
        return kind == "match_all"
    if kind == "ids":
        return id in asked["values"]
    if kind == "exists":
        return _values(source, asked["field"]) != []
    [(field, wanted)] = asked.items()
    return any(_holds(kind, wanted)(value) for value in _values(source, field))


def _values(source: Any, path: str) -> list[Any]:
    found = [source]
    for step in path.split("."):
        found = [each[step] for each in found if isinstance(each, dict) and step in each]
        found = [one for each in found for one in (each if isinstance(each, list) else [each])]
    return [each for each in found if each is not None]


def _holds(kind: str, wanted: Any) -> Callable[[Any], bool]:
    match kind:
        case "term":
            return lambda value: bool(value == wanted)
        case "terms":
            assert all(not isinstance(each, int) or abs(each) < 2**31 for each in wanted)
            return lambda value: value in wanted
        case "prefix":
            return lambda value: str(value).startswith(wanted)
        case "wildcard":
            pattern = _pattern(wanted["value"])
            return lambda value: fnmatch.fnmatchcase(value, pattern)
        case "range":
            tests = {
                "gt": lambda value, end: value > end,
                "gte": lambda value, end: value >= end,
                "lt": lambda value, end: value < end,
                "lte": lambda value, end: value <= end,
            }
            return lambda value: all(tests[name](value, end) for name, end in wanted.items())
    raise AssertionError(f"{kind} is not in this server")


def _pattern(wildcard: str) -> str:
    """A pattern of fnmatch for one of a wildcard query, where a backslash escapes."""
    made, signs = "", iter(wildcard)
    for sign in signs:
        plain = next(signs) if sign == "\\" else sign if sign not in "*?" else None
        made += sign if plain is None else f"[{plain}]" if plain in "*?[" else plain
    return made
