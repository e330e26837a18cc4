"""Stores that are served beside indexes: what they answer, and that they hold up nothing else."""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rerank_search import Client, Document, RemoteSearcher, Searcher, StoreUnreachableError
from rerank_search.serving.errors import OverloadedError
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile, add_key
from rerank_search.serving.open_stores import OpenStores
from rerank_search.stores import open_store
from tests.serving.conftest import NOTES, Running
from tests.waiting import until

LETTERS = [
    Document("ann", "a letter about the boat", "To Ann", {"year": 1999}),
    Document("bob", "two letters, and a path to the sea", "", {"year": 2001}),
]


@pytest.fixture
def url(text_store: Callable[..., str]) -> str:
    """A store of LETTERS, which does not wait for its file."""
    return f"{text_store(LETTERS)}?timeout=0.01&retries=0"


@pytest.fixture
def server(serve: Callable[..., Any], url: str) -> Iterator[Running]:
    """A server with the index "notes" and the store "letters"."""
    with serve(stores={"letters": url}) as found:
        yield found


@pytest.fixture
def locked(url: str) -> Callable[[], AbstractContextManager[None]]:
    """A context in which the store cannot be read."""

    @contextmanager
    def lock() -> Iterator[None]:
        file = url.removeprefix("fts5://").partition("?")[0]
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield

    return lock


def test_a_store_is_searched_as_an_index_is(server: Running, url: str, reranker) -> None:
    asked = {"index": "letters", "query": "a letter about a boat", "explain": True, "matches": True}
    answer = server.post("/v1/search", {**asked, "stage_scores": True})
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    with open_store(url) as store:
        expected = Searcher(store, reranker).search("a letter about a boat")
    assert [hit["id"] for hit in result["hits"]] == [hit.id for hit in expected.hits]
    hit = next(hit for hit in result["hits"] if hit["id"] == "ann")
    assert (result["first_stage"], result["reranked"]) == ("bm25", True)
    assert hit["document"] == {
        "text": LETTERS[0].text,
        "title": "To Ann",
        "metadata": {"year": 1999},
    }
    assert hit["matches"] == {"title": [], "text": [[0, 1], [2, 8], [9, 14], [19, 23]]}
    assert {"bm25", "rerank"} == hit["stage_scores"].keys()
    assert {"first_stage", "documents", "rerank"} <= result["timings"].keys()
    filtered = {"index": "letters", "query": "letters", "filter": {"year": 1999}, "rerank": False}
    assert server.post("/v1/search", filtered).json()["results"][0]["hits"] == []


def test_stores_are_listed_with_indexes(server: Running) -> None:
    listed = server.client.get("/v1/indexes").json()["indexes"]
    assert [each["name"] for each in listed] == ["letters", "notes"]
    assert listed[0] == {
        "name": "letters",
        "store": "fts5",
        "documents": 2,
        "passages": 2,
        "first_stages": ["bm25"],
    }
    assert "store" not in listed[1]
    assert server.client.get("/v1/indexes/letters").json() == listed[0]
    with Client(server.url) as client:
        letters, notes = client.indexes()
    assert (letters.store, letters.created, letters.analyzer) == ("fts5", None, None)
    assert notes.store is None
    [letters, notes] = server.client.get("/v1/vector_stores?order=asc").json()["data"]
    assert (letters["id"], letters["file_counts"]["total"]) == ("letters", 2)
    found = server.post("/v1/vector_stores/letters/search", {"query": "a letter to the sea"})
    assert {each["file_id"] for each in found.json()["data"]} == {"ann", "bob"}


def test_a_client_searches_and_reranks_a_store(server: Running, reranker) -> None:
    with RemoteSearcher(server.url, "letters") as remote:
        found = remote.search("letters to the sea")
        here = Searcher(remote, reranker).search("letters to the sea")
        assert [hit.id for hit in found.hits] == [hit.id for hit in here.hits]
        assert remote.matches("letter", ["Two letters, a letter."]) == [[(15, 21)]]


def test_documents_are_read_added_and_deleted_by_their_ids(server: Running) -> None:
    documents = "/v1/indexes/letters/documents"
    assert server.client.get(f"{documents}/ann").json()["title"] == "To Ann"
    assert server.client.get(f"{documents}/cy").status_code == 404
    added = server.post(documents, {"documents": [{"id": "cy", "text": "a song"}]})
    assert added.json() == {"written": 1, "failed": 0, "errors": []}
    lines = b'{"id": "dee", "text": "a song too"}\n{"id": 5}\n'
    streamed = server.client.post(
        documents, content=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (streamed.json()["written"], streamed.json()["failed"]) == (1, 1)
    found = server.post("/v1/indexes/letters/find", {"ids": ["dee", "ann", "x"], "limit": 1}).json()
    assert ([each["id"] for each in found["documents"]], found["next"]) == (["ann"], "ann")
    assert server.client.delete(f"{documents}/cy").json() == {"deleted": 1}
    deleted = server.post("/v1/indexes/letters/delete", {"ids": ["dee", "cy"]})
    assert deleted.json() == {"deleted": 1}
    assert server.client.get("/v1/indexes/letters").json()["documents"] == 2


def test_what_only_an_index_can_do_is_refused_with_the_reason(server: Running) -> None:
    for path, body in (
        ("find", {}),
        ("find", {"filter": {"year": 1999}}),
        ("delete", {"filter": {"year": 1999}}),
        ("drop", None),
    ):
        answer = server.post(f"/v1/indexes/letters/{path}", body)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request"
        assert "'letters' is a store of another service" in answer.text
    assert server.client.get("/v1/indexes/letters").json()["documents"] == 2


def test_an_option_that_a_store_does_not_have_is_refused_by_name(server: Running) -> None:
    for asked, message in (
        ({"first_stage": "dense"}, "letters has no first stage 'dense': use one of bm25"),
        ({"first_stage": "text"}, "letters has no first stage 'text'"),
        ({"filter": {"year": {"$gt": 1999}}}, "has no filter with Within"),
        ({"passages_per_document": 2}, "passages_per_document needs an index"),
        ({"query_vector": [1.0]}, "query_vector is for"),
    ):
        answer = server.post("/v1/search", {"index": "letters", "query": "letter", **asked})
        assert answer.status_code == 400
        assert message in answer.text
        assert "fts5:///" not in answer.text


def test_a_name_of_a_store_is_taken(server: Running) -> None:
    assert server.client.put("/v1/indexes/letters", json={"encoder": None}).status_code == 409


def test_a_key_opens_some_stores(serve, url: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    given = {name: add_key(keys, name, "read", indexes=[name]) for name in ("letters", "notes")}
    with serve(stores={"letters": url}, keys=KeyFile(keys)) as server:
        for name, secret in given.items():
            headers = {"Authorization": f"Bearer {secret}"}
            listed = server.client.get("/v1/indexes", headers=headers).json()["indexes"]
            assert [each["name"] for each in listed] == [name]
            asked = {"index": "letters", "query": "letter", "rerank": False}
            answer = server.post("/v1/search", asked, **headers)
            assert answer.status_code == (200 if name == "letters" else 404)


def test_an_unreachable_store_is_told_and_hides_nothing_else(
    serve, url: str, locked, caplog: pytest.LogCaptureFixture
) -> None:
    secret = url.replace("fts5://", "fts5://ann:hush@")
    with serve(stores={"letters": secret}) as server:
        asked = {"index": "letters", "query": "letter", "rerank": False}
        with locked(), caplog.at_level(logging.ERROR):
            answer = server.post("/v1/search", asked)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert answer.json()["error"]["type"] == "store_unavailable"
            assert "fts5" not in answer.text
            listed = server.client.get("/v1/indexes").json()
            assert [each["name"] for each in listed["indexes"]] == ["notes"]
            assert listed["unavailable"].keys() == {"letters"}
            assert [each["id"] for each in server.client.get("/v1/vector_stores").json()["data"]]
            found = server.post("/v1/search", {**asked, "index": "notes", "query": "bread"})
            assert found.status_code == 200
            assert server.client.get("/health/ready").status_code == 200
        assert "letters failed: database is locked" in caplog.text
        assert "hush" not in caplog.text


def test_a_store_that_is_away_at_the_start_is_served_later(
    url: str, locked, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    indexes = Indexes(tmp_path, {}, all_of_home=False, stores={"letters": url})
    with locked():
        indexes.warm()
    assert "the index 'letters' cannot be searched: " in caplog.text
    assert "letters failed: database is locked" in caplog.text
    assert indexes.names() == ["letters"]
    indexes.close()


def test_a_store_that_failed_is_left_alone_for_a_while(url: str, locked) -> None:
    now = [0.0]
    stores = OpenStores({"letters": url}, clock=lambda: now[0])

    def count() -> int:
        with stores.use("letters") as store:
            return len(store)

    with locked(), pytest.raises(StoreUnreachableError, match="locked"):
        count()
    for now[0] in (0.0, 4.9):  # for as long as Retry-After says
        with pytest.raises(StoreUnreachableError, match="locked"):
            count()
    now[0] = 5.0
    assert count() == 2
    with locked(), pytest.raises(StoreUnreachableError), stores.use("letters") as store:
        len(store)
    with pytest.raises(StoreUnreachableError):
        count()
    now[0] = 10.0
    assert count() == 2
    stores.close()


def test_a_store_takes_only_some_of_the_threads(url: str) -> None:
    stores = OpenStores({"letters": url, "others": url}, at_once=2)
    entered, leave = threading.Barrier(3), threading.Event()

    def use() -> None:
        with stores.use("letters"):
            entered.wait()
            leave.wait()

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(use) for _ in range(2)]
        entered.wait()
        try:
            with pytest.raises(OverloadedError, match="'letters'"), stores.use("letters"):
                pass
            with stores.use("others") as other:
                assert len(other) == 2
        finally:
            leave.set()
        for each in waiting:
            each.result()
    with stores.use("letters") as store:
        assert len(store) == 2
    stores.close()


def test_metrics_and_traces_name_the_store(serve, url: str) -> None:
    traces = pytest.importorskip("rerank_search.serving.traces")
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs the extra 'telemetry'")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with serve(stores={"letters": url}, traces=traces.Traces(provider)) as server:
        server.post("/v1/search", {"index": "letters", "query": "letter"})
        server.post("/v1/search", {"index": "notes", "query": NOTES[0].text})
        until(lambda: len([s for s in kept.get_finished_spans() if "POST" in s.name]) == 2)
        metrics = server.client.get("/metrics").text
    searches = [dict(s.attributes or {}) for s in kept.get_finished_spans() if s.name == "search"]
    assert [each.get("rerank_search.store") for each in searches] == ["fts5", None]
    first = [dict(s.attributes or {}) for s in kept.get_finished_spans() if s.name == "first_stage"]
    assert first[0]["rerank_search.stage"] == "bm25"
    counts = re.findall(r"rerank_search_store_seconds_count\{(.*)\} (\S+)", metrics)
    assert counts == [('index="letters",stage="bm25"', "1.0")]
