from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from rerank_search import Document, Index
from rerank_search.errors import SearchIndexError
from rerank_search.lock import ProcessLock
from rerank_search.serving.limits import Limits
from rerank_search.serving.uploads import BATCH_BYTES
from rerank_search.storage.manifest import Manifest
from tests.serving.gated import Gated
from tests.waiting import until


def ndjson(server, lines, name="notes"):
    content = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return server.client.post(
        f"/v1/indexes/{name}/documents",
        content=content,
        headers={"content-type": "application/x-ndjson"},
    )


def stored(server, id):
    with Index.open(server.home / "notes", read_only=True) as index:
        return index.get(id)


@pytest.fixture
def copied_encoder(tiny_encoder: Path, tmp_path: Path) -> Path:
    """An encoder that a test may delete."""
    return Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))


def found_by_vectors(fresh, index: str) -> list[str]:
    asked = {"index": index, "query": "violin", "first_stage": "dense", "rerank": False}
    answer = fresh.post("/v1/search", asked)
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["results"][0]["hits"]]


def test_indexes_are_listed_with_what_they_hold(server):
    [listed] = server.client.get("/v1/indexes").json()["indexes"]
    assert listed == server.client.get("/v1/indexes/notes").json()
    assert (listed["name"], listed["documents"]) == ("notes", 4)
    assert listed["first_stages"] == ["bm25", "dense", "hybrid"]
    assert listed["hybrid"] == "scores"


def test_an_index_beside_the_documents_of_its_name_is_served_by_that_name(fresh):
    (fresh.home / "letters").mkdir()
    (fresh.home / "letters" / "corpus.jsonl").write_text("")
    with Index.create(fresh.home / "letters.index", encoder=None) as index:
        index.add([Document("a", "some words")])
    listed = fresh.client.get("/v1/indexes").json()["indexes"]
    assert [each["name"] for each in listed] == ["letters", "notes"]
    found = fresh.post("/v1/search", {"index": "letters", "query": "words"}).json()
    assert [hit["id"] for hit in found["results"][0]["hits"]] == ["a"]


def test_documents_are_inserted_and_replaced(fresh):
    documents = [
        {"id": "join", "text": "other words"},
        {"id": "new", "text": "a new song", "title": "Song", "metadata": {"year": 2026}},
    ]
    answer = fresh.post("/v1/indexes/notes/documents", {"documents": documents})
    assert (answer.status_code, answer.json()["written"]) == (200, 2)
    assert stored(fresh, "join").text == "other words"
    assert stored(fresh, "new").metadata == {"year": 2026}
    found = fresh.post("/v1/search", {"query": "song", "first_stage": "bm25"}).json()
    assert [hit["id"] for hit in found["results"][0]["hits"]] == ["new"]


def test_the_languages_of_documents_are_told(fresh):
    assert fresh.client.put("/v1/indexes/new", json={"encoder": None}).status_code == 201
    assert "languages" not in fresh.client.get("/v1/indexes/new").json()
    documents = [
        {"id": "a", "text": "Der Zug nach Leipzig fährt nicht, weil die Strecke gesperrt ist."},
        {"id": "b", "text": "The train does not go, because the line is closed."},
        {"id": "c", "text": "4711"},
    ]
    fresh.post("/v1/indexes/new/documents", {"documents": documents})
    assert fresh.client.get("/v1/indexes/new").json()["languages"] == {"de": 1, "en": 1}


def test_ndjson_takes_the_good_lines_and_names_the_others(fresh):
    lines = [
        {"id": "a", "text": "a song"},
        "{half",
        {"text": "no id"},
        "",
        {"_id": "b", "text": ""},
    ]
    answer = ndjson(fresh, lines).json()
    assert (answer["written"], answer["failed"]) == (2, 2)
    assert [each["line"] for each in answer["errors"]] == [2, 3]
    assert "not JSON" in answer["errors"][0]["error"]
    assert stored(fresh, "a").text == "a song"


def much(number: int) -> dict[str, object]:
    """A document; forty of them are more than are stored at once."""
    metadata = {"note": "x" * (BATCH_BYTES // 30)}
    return {"id": f"n{number}", "text": "snow", "metadata": metadata}


def test_much_ndjson_is_stored_while_it_comes_in(fresh):
    lines = [much(i) for i in range(40)]
    lines.insert(35, "broken")
    answer = ndjson(fresh, lines).json()
    assert (answer["written"], answer["failed"]) == (40, 1)
    assert answer["errors"][0]["line"] == 36
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] == 44


def test_an_upload_that_breaks_off_keeps_what_was_stored(fresh):
    import httpx2

    def half():
        for i in range(40):
            yield json.dumps(much(i)).encode() + b"\n"
        until(lambda: fresh.client.get("/v1/indexes/notes").json()["documents"] > 4)
        raise OSError("pulled out")

    with pytest.raises(OSError, match="pulled out"), httpx2.Client(base_url=fresh.url) as client:
        client.post(
            "/v1/indexes/notes/documents",
            content=half(),
            headers={"content-type": "application/x-ndjson"},
        )
    assert fresh.client.get("/health/ready").status_code == 200
    assert fresh.post("/v1/search", {"query": "join two paths"}).status_code == 200
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] > 4


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"documents": [{"id": "", "text": "a"}]}, "id"),
        ({"documents": [{"id": "a"}]}, "documents.0.text"),
        (
            {"documents": [{"id": "a", "text": "b", "tilte": "c"}]},
            "'tilte' is unknown; did you mean 'title'?",
        ),
        ({}, "documents"),
        ([], "object"),
    ],
)
def test_a_wrong_document_is_told_and_none_is_stored(fresh, body, message):
    answer = fresh.post("/v1/indexes/notes/documents", body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] == 4


def test_another_kind_of_body_is_refused(fresh):
    answer = fresh.client.post(
        "/v1/indexes/notes/documents", content="a,b", headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 415


def test_a_document_is_deleted_by_its_id_whatever_is_in_it(fresh):
    fresh.post("/v1/indexes/notes/documents", {"documents": [{"id": "a/b c?d", "text": "x"}]})
    answer = fresh.client.delete("/v1/indexes/notes/documents/a%2Fb%20c%3Fd")
    assert answer.json() == {"deleted": 1}
    assert fresh.client.delete("/v1/indexes/notes/documents/a%2Fb").json() == {"deleted": 0}
    assert stored(fresh, "a/b c?d") is None


def test_documents_are_deleted_by_ids_or_by_a_filter(fresh):
    def delete(**asked):
        return fresh.post("/v1/indexes/notes/delete", asked)

    assert delete(filter={"module": "os"}).json() == {"deleted": 2}
    assert delete(ids=["bread", "unknown"]).json() == {"deleted": 1}
    for wrong in ({}, {"filter": {}}, {"ids": ["a"], "filter": {"b": 1}}):
        assert delete(**wrong).status_code == 400
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] == 1


def test_deleting_by_a_key_that_no_document_has_is_answered_with_a_warning(fresh, recwarn):
    answer = fresh.post("/v1/indexes/notes/delete", {"filter": {"modul": "os"}}).json()
    assert answer["deleted"] == 0
    [warning] = answer["warnings"]
    assert "'modul'" in warning
    assert "there are 'module'" in warning
    assert not recwarn.list  # none on the server's own standard error
    known = fresh.post("/v1/indexes/notes/delete", {"filter": {"module": "none"}})
    assert known.json() == {"deleted": 0}


def test_an_integer_id_becomes_its_digits_in_every_body(fresh):
    added = fresh.post("/v1/indexes/notes/documents", {"documents": [{"id": 5, "text": "bread"}]})
    assert added.json()["written"] == 1
    line = fresh.client.post(
        "/v1/indexes/notes/documents",
        content=b'{"_id": 5, "text": "bread"}',
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert line.json()["written"] == 0  # it is the same document
    assert fresh.post("/v1/indexes/notes/delete", {"ids": [5]}).json() == {"deleted": 1}


@pytest.mark.parametrize("id", [5.0, True, None, ["5"]])
def test_any_other_id_is_refused_with_its_value(fresh, id):
    for path, body in (
        ("documents", {"documents": [{"id": id, "text": "bread"}]}),
        ("delete", {"ids": [id]}),
    ):
        answer = fresh.post(f"/v1/indexes/notes/{path}", body)
        assert answer.status_code == 400
        assert f"a document id is {id!r}" in answer.json()["error"]["message"]


@pytest.mark.parametrize("encoder", ["/", "~nobody/x", "x" * 5_000, "someone/model", "../notes"])
def test_no_other_encoder_is_looked_for(fresh, encoder):
    answer = fresh.client.put("/v1/indexes/more", json={"encoder": encoder})
    assert answer.status_code == 400
    assert "is not one that the indexes here have" in answer.json()["error"]["message"]


def test_a_new_index_may_have_the_encoder_of_another(fresh, tiny_encoder):
    answer = fresh.client.put("/v1/indexes/more", json={"encoder": str(tiny_encoder)})
    assert answer.status_code == 201
    assert answer.json()["first_stages"] == ["bm25", "dense", "hybrid"]


def test_a_new_index_takes_prompts_and_smaller_vectors(fresh, tiny_encoder):
    asked = {"encoder": str(tiny_encoder), "query_prompt": "query: ", "truncate_dim": 8}
    asked |= {"vector_dtype": "int8", "hybrid": "rrf"}
    answer = fresh.client.put("/v1/indexes/more", json=asked)
    assert answer.status_code == 201, answer.text
    manifest = Manifest.read(fresh.home / "more")
    assert (manifest.encoder.query_prompt, manifest.encoder.dimension) == ("query: ", 8)
    assert (manifest.vector_dtype, manifest.hybrid, answer.json()["hybrid"]) == (
        "int8",
        "rrf",
        "rrf",
    )
    answer = fresh.client.put("/v1/indexes/again", json=asked | {"truncate_dim": 99})
    assert answer.status_code == 400
    assert "truncate_dim=99 is more than the 32 dimensions" in answer.json()["error"]["message"]


def test_a_new_index_takes_a_language_and_stop_words(fresh):
    asked = {"encoder": None, "analyzer": "de", "stop_words": ["der", "die"]}
    answer = fresh.client.put("/v1/indexes/more", json=asked)
    assert (answer.status_code, answer.json()["analyzer"]) == (201, "german")
    assert Manifest.read(fresh.home / "more").stop_words == ("der", "die")
    assert fresh.client.get("/v1/indexes/more").json()["stop_words"] == ["der", "die"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"analyzer": "klingon"}, "there is no analyzer 'klingon': choose one of english"),
        ({"analyzer": "greek", "stop_words": "language"}, "no list of stop words for"),
        ({"stop_words": "the"}, '"language", or a list of words'),
        ({"stop_words": [3]}, "stop_words"),
    ],
)
def test_unknown_words_are_refused(fresh, asked, message):
    answer = fresh.client.put("/v1/indexes/more", json={"encoder": None} | asked)
    assert answer.status_code in (400, 422), answer.text
    assert message in answer.json()["error"]["message"]
    assert not (fresh.home / "more").exists()


def test_a_new_index_may_have_the_sparse_encoder_of_another(fresh, sparse_encoder):
    asked = {"encoder": None, "sparse_encoder": str(sparse_encoder)}
    answer = fresh.client.put("/v1/indexes/more", json=asked)
    assert answer.status_code == 400
    assert "is not one that the indexes here have" in answer.json()["error"]["message"]
    Index.create(fresh.home / "other", encoder=None, sparse_encoder=sparse_encoder).close()
    answer = fresh.client.put("/v1/indexes/more", json=asked)
    assert answer.status_code == 201, answer.text
    assert answer.json()["first_stages"] == ["sparse", "bm25"]
    with fresh.service.indexes.use("more") as more, fresh.service.indexes.use("other") as other:
        assert more.sparse_encoder is other.sparse_encoder  # one model for both


OWN = {"encoder": None, "dimension": 2}


def test_an_index_of_own_vectors_is_filled_and_searched(fresh, caplog):
    made = fresh.client.put("/v1/indexes/own", json=OWN)
    assert (made.status_code, made.json()["dimension"]) == (201, 2)
    documents = [{"id": "a", "text": "red", "vector": [1, 0]}]
    answer = fresh.post("/v1/indexes/own/documents", {"documents": documents})
    assert answer.json()["written"] == 1, answer.text
    lines = [
        {"id": "b", "text": "sea", "vector": [0, 1]},
        {"id": "c", "text": "sea", "vector": [0, 1, 2]},
        {"id": "d", "text": "sea"},
        {"id": "e", "text": "sea", "vector": [0, 0]},
        {"id": "f", "text": "sea", "vector": [0.6, 0.8]},
        {"id": "g", "text": "sea", "vector": [0, "1"]},
    ]
    answer = ndjson(fresh, lines, "own").json()
    assert (answer["written"], answer["failed"]) == (2, 4)
    said = [(each["line"], each["error"]) for each in answer["errors"]]
    assert [line for line, _ in said] == [2, 3, 4, 6]
    assert "a vector of 3 numbers, and those of the index have 2" in said[0][1]
    asked = {"index": "own", "first_stage": "dense", "rerank": False}
    one = fresh.post("/v1/search", asked | {"query": "sea", "query_vector": [0, 2]}).json()
    assert [hit["id"] for hit in one["results"][0]["hits"]] == ["b", "f", "a"]
    many = {"queries": ["red", "sea"], "query_vectors": [[1, 0], [0.6, 0.8]], "stage_scores": True}
    found = fresh.post("/v1/search", asked | many).json()["results"]
    assert [each["hits"][0]["id"] for each in found] == ["a", "f"]
    fresh.service.indexes.warm()
    assert "cannot be searched" not in caplog.text


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"query": "sea"}, "the query 'sea' has no vector"),
        ({"query": "sea", "query_vector": [1]}, "has 1 numbers, and those of the index have 2"),
        ({"query": "sea", "query_vector": [0, 0]}, "only zeros"),
        ({"query": "sea", "query_vector": ["a", 1]}, "query_vector"),
        ({"query": "sea", "query_vector": ["1", 0]}, "query_vector.0: Input should be a valid nu"),
        ({"query": "sea", "query_vector": [True, 0]}, "query_vector.0: Input should be a valid nu"),
        ({"queries": ["a"], "query_vectors": [[0, "1"]]}, "query_vectors.0.1: Input should be a"),
        ({"query": "sea", "query_vectors": [[1, 2]]}, "query_vector goes with query"),
        ({"queries": ["a", "b"], "query_vectors": [[1, 2]]}, "1 vectors for 2 queries"),
        ({"queries": ["a", "b"], "query_vector": [1, 2]}, "query_vector is one vector"),
        ({"queries": ["a"], "query_vectors": [[0, 0]]}, "only zeros"),
        ({"index": "notes", "query": "sea", "query_vector": [1, 2]}, "of your own vectors"),
    ],
)
def test_a_vector_that_does_not_fit_a_query_is_told(fresh, asked, message):
    fresh.client.put("/v1/indexes/own", json=OWN)
    answer = fresh.post("/v1/search", {"index": "own", "first_stage": "dense"} | asked)
    assert answer.status_code in (400, 422), answer.text
    assert message in answer.text


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([{"id": "a", "text": "x", "vector": [1, 2, 3]}], "a vector of 3 numbers"),
        ([{"id": "a", "text": "x"}], "has no vector"),
        ([{"id": "a", "text": "x", "vector": [1, True]}], "number"),
        ([{"id": "a", "text": "x", "vector": [1, "2"]}], "number"),
    ],
)
def test_a_document_whose_vector_does_not_fit_is_told_and_none_is_stored(fresh, documents, message):
    fresh.client.put("/v1/indexes/own", json=OWN)
    good = [{"id": "good", "text": "x", "vector": [1, 2]}]
    answer = fresh.post("/v1/indexes/own/documents", {"documents": good + documents})
    assert answer.status_code in (400, 422), answer.text
    assert message in answer.text
    assert fresh.client.get("/v1/indexes/own").json()["documents"] == 0


def test_a_line_may_come_in_many_parts(fresh):
    line = json.dumps({"id": "parts", "text": "snow " * 50}).encode()
    parts = [line[i : i + 7] for i in range(0, len(line), 7)]
    answer = fresh.client.post(
        "/v1/indexes/notes/documents",
        content=iter([*parts, b"\n", *parts, b"\r\n\n"]),
        headers={"content-type": "Application/X-NDJSON; charset=utf-8"},
    )
    assert answer.json() == {"written": 1, "failed": 0, "errors": []}
    assert stored(fresh, "parts").text == "snow " * 50


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_a_byte_order_mark_before_documents_is_skipped(fresh, kind):
    line = json.dumps({"id": "marked", "text": "a song"})
    content = f'{{"documents": [{line}]}}' if kind == "application/json" else line
    answer = fresh.client.post(
        "/v1/indexes/notes/documents",
        content=b"\xef\xbb\xbf" + content.encode(),
        headers={"content-type": kind},
    )
    assert answer.json() == {"written": 1, "failed": 0, "errors": []}
    assert stored(fresh, "marked").text == "a song"


def test_a_compressed_upload_is_refused_and_nothing_is_stored(fresh):
    line = json.dumps({"id": "packed", "text": "a song"}).encode()
    sent = {"content-type": "application/x-ndjson", "content-encoding": "gzip"}
    answer = fresh.client.post(
        "/v1/indexes/notes/documents", content=gzip.compress(line), headers=sent
    )
    assert answer.status_code == 415
    assert stored(fresh, "packed") is None


def test_lines_for_no_index_are_not_found(fresh):
    for lines in ([], [{"id": "a", "text": "b"}]):
        assert ndjson(fresh, lines, "other").status_code == 404


def test_an_index_is_made_once(fresh):
    answer = fresh.client.put("/v1/indexes/more", json={"encoder": None})
    assert answer.status_code == 201
    assert answer.json()["first_stages"] == ["bm25"]
    assert fresh.client.put("/v1/indexes/more", json={}).status_code == 409
    assert ndjson(fresh, [{"id": "a", "text": "a song"}], "more").json()["written"] == 1
    found = fresh.post("/v1/search", {"index": "more", "query": "song"}).json()
    assert [hit["id"] for hit in found["results"][0]["hits"]] == ["a"]
    # It is not clear which of the two is meant.
    assert fresh.post("/v1/search", {"query": "song"}).status_code == 400


def test_an_index_is_made_with_a_first_stage_of_a_package(fresh, install_engine):
    install_engine()
    asked = {"encoder": None, "first_stages": ["fixed"]}
    answer = fresh.client.put("/v1/indexes/more", json=asked)
    assert answer.status_code == 201
    assert answer.json()["first_stages"] == ["fixed", "bm25"]


@pytest.mark.parametrize("name", ["unknown", "bm25"])
def test_an_index_is_not_made_with_an_unusable_first_stage(fresh, name):
    asked = {"encoder": None, "first_stages": [name]}
    answer = fresh.client.put("/v1/indexes/more", json=asked)
    assert answer.status_code == 400
    assert repr(name) in answer.json()["error"]["message"]
    assert not (fresh.home / "more").exists()


@pytest.mark.parametrize(
    "name", ["..", "a%2Fb", "%2e%2e%2fother", "a b", ".hidden", "-x", "x" * 65]
)
def test_no_name_leads_out_of_the_home(fresh, name):
    outside = fresh.home.parent / "other"
    for method in ("PUT", "GET"):
        answer = fresh.client.request(method, f"/v1/indexes/{name}")
        assert answer.status_code in (400, 404, 405)
    assert not outside.exists()
    assert sorted(path.name for path in fresh.home.iterdir()) == ["notes"]


@pytest.fixture
def other_writer(fresh, monkeypatch):
    """A lock of another writer, with no time to wait for it."""
    monkeypatch.setenv("RERANK_SEARCH_LOCK_TIMEOUT", "0")
    lock = ProcessLock(fresh.home / "notes" / "write.lock")
    assert lock.acquire(0)
    yield lock
    lock.release()


def test_an_index_that_another_process_writes_to_is_locked(fresh, other_writer, caplog):
    answer = fresh.post("/v1/indexes/notes/documents", {"documents": []})
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "locked"
    assert int(answer.headers["Retry-After"]) >= 1
    # The log says who that is, the answer does not.
    assert "this process itself" in caplog.text
    assert "this process itself" not in answer.text
    other_writer.release()
    answer = fresh.post("/v1/indexes/notes/documents", {"documents": []})
    assert answer.status_code == 200


def test_a_write_through_the_server_keeps_no_other_writer_out(fresh):
    for id in ("b", "c"):
        answer = fresh.post("/v1/indexes/notes/documents", {"documents": [{"id": id, "text": id}]})
        assert answer.status_code == 200
        with Index.open(fresh.home / "notes", lock_timeout=0) as index:
            index.add([Document(f"mine {id}", "my words")])
    found = fresh.post("/v1/search", {"index": "notes", "query": "my words"}).json()
    assert {"mine b", "mine c"} <= {hit["id"] for hit in found["results"][0]["hits"]}


@pytest.mark.slow
def test_many_writers_at_a_time_lose_nothing(fresh):
    def add(number):
        for i in range(5):
            documents = [{"id": f"{number}-{i}", "text": "words of many"}]
            answer = fresh.post("/v1/indexes/notes/documents", {"documents": documents})
            assert answer.status_code == 200

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] == 34


def test_an_index_that_is_damaged_does_not_hide_the_others(fresh):
    Index.create(fresh.home / "bad", encoder=None).close()
    (fresh.home / "bad" / "manifest.json").write_text("damaged")
    listed = fresh.client.get("/v1/indexes").json()
    assert [each["name"] for each in listed["indexes"]] == ["notes"]
    assert "manifest.json" in listed["unavailable"]["bad"]
    answer = fresh.post("/v1/search", {"index": "bad", "query": "a"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "index_unavailable"


def test_a_line_with_too_long_a_text_is_left_out(small):
    lines = [{"id": "a", "text": "b" * 101}, {"id": "b", "text": "fits"}]
    answer = ndjson(small, lines).json()
    assert (answer["written"], answer["failed"]) == (1, 1)
    assert "101 characters" in answer["errors"][0]["error"]
    assert ndjson(small, [{"id": "a", "text": "b" * 1_000}]).status_code == 413


def test_an_index_that_was_removed_is_not_there(fresh):
    for _ in range(2):
        assert fresh.client.put("/v1/indexes/more", json={"encoder": None}).status_code == 201
        assert ndjson(fresh, [{"id": "a", "text": "a song"}], "more").json()["written"] == 1
        assert fresh.post("/v1/search", {"index": "more", "query": "song"}).status_code == 200
        shutil.rmtree(fresh.home / "more")
        answer = fresh.post("/v1/search", {"index": "more", "query": "song"})
        assert answer.status_code == 404
        assert "there are: notes" in answer.json()["error"]["message"]
        assert [each["name"] for each in fresh.client.get("/v1/indexes").json()["indexes"]] == [
            "notes"
        ]


def test_indexes_share_the_model_of_their_encoder(fresh, copied_encoder):
    for name in ("one", "other"):
        with Index.create(fresh.home / name, encoder=str(copied_encoder)) as index:
            index.add([Document("song", "a violin song")])
    # An index with no vectors has none to share.
    Index.create(fresh.home / "words", encoder=None).close()
    assert found_by_vectors(fresh, "one") == ["song"]
    with fresh.service.indexes.use("words") as words:
        assert words.first_stages == ("bm25",)
    shutil.rmtree(copied_encoder)  # what is in memory is there for the other index too
    assert found_by_vectors(fresh, "other") == ["song"]


def test_errors_do_not_say_where_an_index_lies(fresh, caplog):
    Index.create(fresh.home / "bad", encoder=None).close()
    (fresh.home / "bad" / "manifest.json").write_text("damaged")
    answer = fresh.post("/v1/search", {"index": "bad", "query": "a"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "index_unavailable")
    listed = fresh.client.get("/v1/indexes")
    for told in (answer, listed):
        assert "bad/manifest.json" in told.text
        assert str(fresh.home) not in told.text
    assert str(fresh.home / "bad") in caplog.text  # the log has the whole path


@pytest.mark.slow
def test_indexes_may_be_made_while_others_are_asked_for(fresh):
    stop = threading.Event()
    statuses = []

    def ask():
        while not stop.is_set():
            statuses.append(fresh.client.get("/v1/indexes").status_code)
            answer = fresh.post("/v1/search", {"index": "no", "query": "a"})
            statuses.append(answer.status_code)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(15):
        answer = fresh.client.put(f"/v1/indexes/made-{number}", json={"encoder": None})
        assert answer.status_code == 201
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 404}


def test_an_index_that_is_being_made_is_not_there_or_empty(serve):
    made = threading.Event()
    statuses: set[int] = set()

    def search() -> None:
        while not made.is_set():
            asked = {"index": "new", "query": "a song", "rerank": False}
            statuses.add(server.post("/v1/search", asked).status_code)

    with serve(None) as server, ThreadPoolExecutor(2) as pool:
        searching = [pool.submit(search) for _ in range(2)]
        try:
            for _ in range(10):
                created = server.client.put("/v1/indexes/new", json={"encoder": None})
                assert created.status_code == 201, created.text
                assert server.client.post("/v1/indexes/new/drop").status_code == 200
        finally:
            made.set()
        for each in searching:
            each.result()
    assert statuses <= {200, 404}


def test_what_was_opened_of_a_removed_index_is_closed(fresh):
    fresh.client.put("/v1/indexes/more", json={"encoder": None})
    with fresh.service.indexes.use("more") as index:
        assert len(index) == 0
    shutil.rmtree(fresh.home / "more")
    fresh.client.get("/v1/indexes")
    with pytest.raises(SearchIndexError, match="is closed"):
        index.get("a")


def test_an_index_without_its_encoder_is_the_servers_fault(fresh, tiny_encoder, tmp_path, caplog):
    folder = tmp_path / "private" / "encoder"
    shutil.copytree(tiny_encoder, folder)
    with Index.create(fresh.home / "more", encoder=str(folder)) as index:
        index.add([Document("a", "a song")])
    listed = fresh.client.get("/v1/indexes").json()["indexes"]
    assert [each["encoder"] for each in listed if each["name"] == "more"] == ["encoder"]
    made = fresh.client.put("/v1/indexes/another", json={"encoder": "encoder"})
    assert made.json()["encoder"] == "encoder"
    shutil.rmtree(folder)
    answer = fresh.post("/v1/search", {"index": "more", "query": "a", "rerank": False})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "index_unavailable")
    assert "private" not in answer.text
    assert str(folder) in caplog.text


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_does_not_hide_the_others(fresh):
    (fresh.home / "backup").mkdir(mode=0)
    listed = fresh.client.get("/v1/indexes").json()
    assert [each["name"] for each in listed["indexes"]] == ["notes"]


def test_warming_loads_encoders_and_outlives_a_damaged_index(fresh, copied_encoder, caplog):
    with Index.create(fresh.home / "songs", encoder=str(copied_encoder)) as index:
        index.add([Document("song", "a violin song")])
    Index.create(fresh.home / "bad", encoder=None).close()
    (fresh.home / "bad" / "manifest.json").write_text("damaged")
    fresh.service.indexes.warm()
    assert "the index 'bad' cannot be searched" in caplog.text
    shutil.rmtree(copied_encoder)
    assert found_by_vectors(fresh, "songs") == ["song"]


def test_an_index_without_its_documents_is_damaged_and_not_unknown(fresh):
    assert fresh.post("/v1/search", {"index": "notes", "query": "join"}).status_code == 200
    (fresh.home / "notes" / "documents.sqlite").unlink()
    answer = fresh.post("/v1/search", {"index": "notes", "query": "join"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "index_unavailable")
    assert "documents.sqlite is damaged or missing" in answer.json()["error"]["message"]
    listed = fresh.client.get("/v1/indexes").json()
    assert "documents.sqlite" in listed["unavailable"]["notes"]


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["documents"]]


def test_documents_are_found_by_pages(server):
    first = server.post("/v1/indexes/notes/find", {"limit": 3})
    assert ids(first) == ["bread", "join", "shell"]
    second = server.post(
        "/v1/indexes/notes/find", {"limit": 3, "after": first.json()["next"], "filter": None}
    )
    assert ids(second) == ["split"]
    assert "next" not in second.json()
    assert second.json()["documents"][0] == {
        "id": "split",
        "text": "split a path into two parts",
        "title": "",
        "metadata": {"module": "os", "year": 2022},
    }


def test_documents_are_found_by_a_filter_with_its_warnings(server):
    answer = server.post("/v1/indexes/notes/find", {"filter": {"module": "os"}})
    assert ids(answer) == ["join", "split"]
    assert "warnings" not in answer.json()
    warned = server.post("/v1/indexes/notes/find", {"filter": {"modul": "os"}})
    assert ids(warned) == []
    assert "'modul'" in warned.json()["warnings"][0]


def test_documents_are_found_by_their_ids(server):
    asked = {"ids": ["split", "none", "bread", "split", 5, "join"], "limit": 2}
    first = server.post("/v1/indexes/notes/find", asked)
    assert ids(first) == ["bread", "join"]
    rest = server.post("/v1/indexes/notes/find", {**asked, "after": first.json()["next"]})
    assert ids(rest) == ["split"]
    assert ids(server.post("/v1/indexes/notes/find", {"ids": []})) == []


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({"limit": 1001}, 413, "1,000"),
        ({"ids": [str(i) for i in range(1001)]}, 413, "ids"),
        ({"limit": 0}, 400, "limit"),
        ({"limit": True}, 400, "limit"),
        ({"ids": ["a"], "filter": {"a": 1}}, 400, "one of ids and filter"),
        ({"filter": {"a": {"$regex": "x"}}}, 400, "$regex"),
        ({"offset": 5}, 400, "offset"),
        ([], 400, "object"),
    ],
)
def test_what_cannot_be_found_is_refused(server, asked, status, named):
    answer = server.post("/v1/indexes/notes/find", asked)
    assert (answer.status_code, named in answer.text) == (status, True)


def test_a_page_of_long_texts_ends_early(serve):
    with serve(None, limits=Limits(found_characters=100_000)) as fresh:
        documents = [{"id": f"{i:03}", "text": "x" * 1000} for i in range(250)]
        fresh.post("/v1/indexes/notes/documents", {"documents": documents})
        page = fresh.post("/v1/indexes/notes/find", {"limit": 250})
        assert ids(page) == [f"{i:03}" for i in range(100)]
        assert page.json()["next"] == "099"


def test_matches_are_those_of_the_index(server):
    texts = ["Join two Paths.", "", "no such thing", "the joined 🐍 path"]
    answer = server.post("/v1/indexes/notes/matches", {"query": "joining a path?", "texts": texts})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"matches": [[[0, 4], [9, 14]], [], [], [[4, 10], [13, 17]]]}
    empty = server.post("/v1/indexes/notes/matches", {"query": "", "texts": texts[:1]})
    assert empty.json() == {"matches": [[]]}


@pytest.mark.parametrize(
    ("asked", "status", "named"),
    [
        ({"query": "a", "texts": ["a"] * 1001}, 413, "texts: 1,001"),
        ({"query": "a", "texts": ["a" * 600_000] * 2}, 413, "characters of the texts: 1,200,000"),
        ({"query": "a" * 10_001, "texts": []}, 413, "the query"),
        ({"query": "a", "texts": "a"}, 400, "texts"),
        ({"query": "a", "texts": [None]}, 400, "texts"),
        ({"query": ["a"], "texts": []}, 400, "query"),
        ({"query": "a"}, 400, "texts"),
        ({"query": "a", "texts": [], "k": 1}, 400, "'k' is unknown"),
    ],
)
def test_matches_that_cannot_be_told_are_refused(server, asked, status, named):
    answer = server.post("/v1/indexes/notes/matches", asked)
    assert (answer.status_code, named in answer.text) == (status, True)


IDS = [
    "a/b",
    "/a//b/",
    "é ü",
    "\U0001f600",
    "%2F",
    "a?b#c",
    " ",
    "+",
    "a\nb",
    "\n",
    "\u202e",
]


@pytest.mark.parametrize("id", IDS)
def test_any_id_is_a_path(fresh, id):
    document = {"id": id, "text": "a song", "title": "t", "metadata": {"of": {"by": None}}}
    fresh.post("/v1/indexes/notes/documents", {"documents": [document]})
    path = f"/v1/indexes/notes/documents/{quote(id, safe='')}"
    assert fresh.client.get(path).json() == document
    assert fresh.client.delete(path).json() == {"deleted": 1}
    gone = fresh.client.get(path)
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "no_such_document")


def test_an_id_with_a_newline_at_its_end_is_not_the_one_without(fresh):
    fresh.post("/v1/indexes/notes/documents", {"documents": [{"id": "a", "text": "x"}]})
    path = "/v1/indexes/notes/documents/a%0A"
    assert fresh.client.get(path).json()["error"]["type"] == "no_such_document"
    assert fresh.client.delete(path).json() == {"deleted": 0}
    assert stored(fresh, "a") is not None


def test_find_and_get_name_an_unknown_index(server):
    assert server.post("/v1/indexes/none/find", {}).json()["error"]["type"] == "not_found"
    assert server.client.get("/v1/indexes/none/documents/a").json()["error"]["type"] == "not_found"


def test_a_dropped_index_is_gone_and_its_name_is_free(fresh):
    assert fresh.post("/v1/search", {"query": "join"}).status_code == 200
    assert fresh.client.post("/v1/indexes/notes/drop").json() == {"dropped": "notes"}
    assert list(fresh.home.iterdir()) == []
    assert fresh.client.get("/v1/indexes").json() == {"indexes": []}
    for gone in (
        fresh.client.post("/v1/indexes/notes/drop"),
        fresh.client.get("/v1/indexes/notes"),
        fresh.post("/v1/search", {"index": "notes", "query": "join"}),
    ):
        assert (gone.status_code, gone.json()["error"]["type"]) == (404, "not_found")
    assert fresh.client.put("/v1/indexes/notes", json={"encoder": None}).status_code == 201
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] == 0


def test_an_index_that_another_process_writes_to_is_not_dropped(fresh, other_writer):
    answer = fresh.client.post("/v1/indexes/notes/drop")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "locked")
    assert int(answer.headers["Retry-After"]) >= 1
    other_writer.release()
    assert fresh.post("/v1/search", {"query": "join"}).status_code == 200
    assert fresh.client.post("/v1/indexes/notes/drop").status_code == 200


def test_an_index_is_not_dropped_while_it_is_searched(serve, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_LOCK_TIMEOUT", "0")
    slow = Gated()
    with serve(slow) as server, ThreadPoolExecutor(1) as pool:
        searching = pool.submit(server.post, "/v1/search", {"query": "join two paths"})
        until(lambda: slow.calls)
        answer = server.client.post("/v1/indexes/notes/drop")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "locked")
        slow.gate.set()
        assert searching.result().status_code == 200
        until(lambda: server.client.post("/v1/indexes/notes/drop").status_code == 200)


def test_a_drop_waits_for_searches_that_run(serve):
    slow = Gated()
    with serve(slow) as server, ThreadPoolExecutor(2) as pool:
        searching = pool.submit(server.post, "/v1/search", {"query": "join two paths"})
        until(lambda: slow.calls)
        dropping = pool.submit(server.client.post, "/v1/indexes/notes/drop")
        slow.gate.set()
        assert len(searching.result().json()["results"][0]["hits"]) == 4
        assert dropping.result().json() == {"dropped": "notes"}


@pytest.mark.parametrize("id", ["..", ".", "%2e%2e"])
def test_deleting_a_document_of_a_path_like_id_never_drops_the_index(fresh, id):
    fresh.client.delete(f"/v1/indexes/notes/documents/{id}")
    assert fresh.client.delete("/v1/indexes/notes").status_code == 405
    assert fresh.client.get("/v1/indexes/notes").json()["documents"] == 4
