from __future__ import annotations

import gzip
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from rerank_search.errors import InvalidInputError
from rerank_search.serving.errors import ApiError
from rerank_search.serving.keys import KeyFile, add_key, read_keys, remove_key
from rerank_search.serving.limits import Limits
from rerank_search.serving.schemas.indexes import DeleteRequest, Upsert
from rerank_search.serving.schemas.rerank import RerankRequest, ScoreRequest, TeiRequest
from rerank_search.serving.schemas.search import SearchRequest
from rerank_search.serving.strict_json import strict_json

RERANK = {"query": "a file", "documents": ["read a file"]}


@pytest.fixture
def keys(tmp_path_factory):
    """A file with a key for reading and one for writing, and their secrets."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, add_key(path, "reader", "read"), add_key(path, "writer", "write")


def test_secrets_are_kept_as_hashes_only(keys):
    path, *secrets = keys
    assert [(key.name, key.scope) for key in read_keys(path)] == [
        ("reader", "read"),
        ("writer", "write"),
    ]
    assert not any(secret in path.read_text() for secret in secrets)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(secrets)) == 2
    assert all(len(secret) > 40 for secret in secrets)


def test_a_name_is_used_once(keys):
    path = keys[0]
    with pytest.raises(InvalidInputError, match="has a key 'reader'"):
        add_key(path, "reader", "write")
    with pytest.raises(InvalidInputError, match="no key 'other'; there are: reader, writer"):
        remove_key(path, "other")


def test_keys_that_are_added_at_a_time_are_all_there(tmp_path):
    path = tmp_path / "keys.json"
    names = [f"app-{number}" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        made = list(pool.map(lambda name: add_key(path, name, "read"), names))
    assert sorted(key.name for key in read_keys(path)) == sorted(names)
    known = KeyFile(path)
    assert all(known.find(secret) is not None for secret in made)


def test_a_file_of_keys_has_a_folder(tmp_path):
    with pytest.raises(InvalidInputError, match="is not a folder"):
        add_key(tmp_path / "no" / "keys.json", "app", "read")
    assert list(tmp_path.iterdir()) == []


def test_a_body_of_too_many_values_is_too_large(server):
    for body in (
        {"query": "a", "documents": [""] * 200_000},
        {"query": "a", "filter": {"a": {"$in": list(range(200_000))}}},
    ):
        answer = server.post("/v2/rerank" if "documents" in body else "/v1/search", body)
        assert answer.status_code == 413
        assert "100,000 values" in answer.json()["error"]["message"]


def test_what_locks_keys_leaves_nothing_behind(tmp_path):
    add_key(tmp_path / "keys.json", "app", "read")
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": [{"name": "a"}]}', '{"keys": 3}'])
def test_a_damaged_file_of_keys_is_no_file_of_keys(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match="not a file of keys"):
        KeyFile(path)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        KeyFile(tmp_path / "other.json")


def test_without_a_key_there_is_health_and_the_page_and_nothing_else(serve, keys):
    with serve(keys=KeyFile(keys[0])) as server:
        for path in ("/health/live", "/health/ready", "/openapi.json"):
            assert server.client.get(path).status_code == 200
        for path in ("/v1/indexes", "/v1/models", "/metrics", "/nothing"):
            answer = server.client.get(path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert server.post("/v2/rerank", RERANK).status_code == 401
        assert server.post("/v2/rerank", RERANK, authorization="Bearer rs_x").status_code == 401
        assert server.post("/v2/rerank", RERANK, authorization="Basic rs_x").status_code == 401
        odd = server.client.post("/v2/rerank", json=RERANK, headers={b"x-api-key": b"\xe9"})
        assert odd.status_code == 401


def test_a_key_for_reading_does_not_write(serve, keys):
    path, reader, writer = keys
    documents = {"documents": [{"id": "a", "text": "b"}]}
    with serve(keys=KeyFile(path)) as server:
        for secret, status in ((reader, 403), (writer, 200)):
            sent = {"authorization": f"Bearer {secret}"}
            assert server.post("/v2/rerank", RERANK, **sent).status_code == 200
            assert server.post("/v1/search", {"query": "a"}, **sent).status_code == 200
            assert server.post("/v1/indexes/notes/find", {}, **sent).status_code == 200
            answer = server.post("/v1/indexes/notes/documents", documents, **sent)
            assert answer.status_code == status
            answer = server.client.delete("/v1/indexes/notes/documents/x", headers=sent)
            assert answer.status_code == status
            answer = server.client.post("/v1/indexes/none/drop", headers=sent)
            assert answer.status_code == (403 if status == 403 else 404)
            answer = server.client.put(f"/v1/indexes/{status}", json={}, headers=sent)
            assert answer.status_code == (403 if status == 403 else 201)
        assert server.post("/v2/rerank", RERANK, **{"x-api-key": reader}).status_code == 200


def test_keys_come_and_go_while_the_server_runs(serve, keys):
    path, reader, _ = keys
    with serve(keys=KeyFile(path)) as server:

        def status(secret):
            return server.post("/v2/rerank", RERANK, authorization=f"Bearer {secret}").status_code

        new = add_key(path, "new", "read")
        assert (status(reader), status(new)) == (200, 200)
        remove_key(path, "reader")
        assert (status(reader), status(new)) == (401, 200)
        path.write_text("damaged")
        # A key that cannot be checked gives no access.
        assert status(new) == 503


def test_a_body_is_bounded_before_it_is_read(serve):
    limits = Limits(body_bytes=1_000, upload_bytes=2_000)
    with serve(limits=limits) as server:
        large = {"query": "a", "documents": ["x" * 1_000]}
        answer = server.post("/v2/rerank", large)
        assert answer.status_code == 413
        assert answer.json()["error"]["type"] == "too_large"

        def chunks():
            for _ in range(100):
                yield b" " * 100

        sent = {"content-type": "application/json"}
        assert server.client.post("/v2/rerank", content=chunks(), headers=sent).status_code == 413
        documents = {"documents": [{"id": "a", "text": "x" * 1_000}]}
        assert server.post("/v1/indexes/notes/documents", documents).status_code == 413
        # Only a body that is stored while it comes in may be longer.
        sent = {"content-type": "application/x-ndjson"}
        assert (
            server.client.post("/v2/rerank", content=b" " * 1_500, headers=sent).status_code == 413
        )
        line = json.dumps({"id": "a", "text": "x" * 1_000})
        sent = {"content-type": "application/x-ndjson"}
        path = "/v1/indexes/notes/documents"
        assert server.client.post(path, content=line, headers=sent).status_code == 200
        assert server.client.post(path, content=line * 2, headers=sent).status_code == 413


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v2/rerank", {"query": "a", "documents": ["b"] * 4}),
        ("/rerank", {"query": "a", "texts": ["b"] * 4}),
        ("/score", {"text_1": "a", "text_2": ["b"] * 4}),
        ("/v2/rerank", {"query": "a", "documents": ["b" * 101]}),
        ("/v2/rerank", {"query": "a" * 51, "documents": ["b"]}),
        ("/v1/search", {"query": "a" * 51}),
        ("/v1/search", {"queries": ["a", "a" * 51]}),
        ("/v1/search", {"queries": ["a"] * 3}),
        ("/v1/search", {"query": "a", "top_k": 21}),
        ("/v1/search", {"query": "a", "candidates": 31}),
        ("/v1/indexes/notes/documents", {"documents": [{"id": "a", "text": "b"}] * 4}),
        ("/v1/indexes/notes/documents", {"documents": [{"id": "a", "text": "b" * 101}]}),
    ],
)
def test_what_is_above_a_limit_is_refused(small, path, asked):
    answer = small.post(path, asked)
    assert answer.status_code == 413, answer.text
    assert "allowed" in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe",
        b'{"query": NaN}',
        b'{"query": "\\ud800", "documents": []}',
        b"[" * 100_000,
        b'{"a":' * 9 + b"1" + b"}" * 9,
        b'{"query": "a", "documents": ["b"], "query": 3}',
    ],
)
def test_a_body_that_is_no_use_is_the_callers_fault(small, content):
    for path in ("/v2/rerank", "/rerank", "/score", "/v1/search", "/v1/indexes/notes/documents"):
        answer = small.client.post(
            path, content=content, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, (path, answer.text)
        assert "Traceback" not in answer.text


def test_a_string_without_an_end_is_read_once():
    # If it were tried again from each quote, it would take days.
    with pytest.raises(ApiError, match="not valid JSON"):
        strict_json(b"[" + b"[]," * 100 + b'"' + b'\\"' * 500_000, 64)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (RerankRequest, {"query": "a", "documents": [1] * 1_000}),
        (TeiRequest, {"query": "a", "texts": [1] * 1_000}),
        (ScoreRequest, {"text_1": "a", "text_2": [1] * 1_000}),
        (SearchRequest, {"queries": [1] * 1_000}),
        (SearchRequest, {str(i): i for i in range(1_000)}),
        (DeleteRequest, {"ids": [1.5] * 1_000}),
        (Upsert, {"documents": [1] * 1_000}),
        (Upsert, {"documents": [{str(i): i} for i in range(1_000)]}),
    ],
)
def test_of_many_faults_the_first_is_looked_at(model, body):
    with pytest.raises(ValidationError) as caught:
        model.model_validate(body)
    assert len(caught.value.errors()) <= 3


def test_brackets_in_a_text_are_no_levels(small):
    asked = {"query": "a", "documents": ['[[[[[[[[[["{{{{{{{{\\" [[[[[[[']}
    assert small.post("/v2/rerank", asked).status_code == 200


def test_a_body_of_another_kind_is_told_which_is_wanted(small):
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = small.client.post("/v2/rerank", content="{}", headers={"content-type": kind})
        assert answer.status_code == 415
        assert "application/json" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/v2/rerank", RERANK), ("/v1/search", {"query": "a"}), ("/score", {"text_1": "a"})],
)
def test_a_compressed_body_is_refused_and_its_encoding_is_named(small, path, asked):
    sent = {"content-type": "application/json", "content-encoding": "gzip"}
    content = gzip.compress(json.dumps(asked).encode())
    answer = small.client.post(path, content=content, headers=sent)
    assert answer.status_code == 415
    error = answer.json()["error"]
    assert error["type"] == "unsupported_media"
    assert "Content-Encoding 'gzip'" in error["message"]
    assert "send the body uncompressed" in error["message"]


def test_an_encoding_that_is_none_is_accepted(small):
    sent = {"content-encoding": "identity"}
    assert small.post("/v2/rerank", RERANK, **sent).status_code == 200
    # Without a body there is nothing to decode.
    assert small.client.get("/v1/models", headers={"content-encoding": "gzip"}).is_success


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/v2/rerank", RERANK), ("/v1/search", {"query": "join two paths", "candidates": 3})],
)
def test_a_byte_order_mark_before_json_is_skipped(small, path, asked):
    content = b"\xef\xbb\xbf" + json.dumps(asked).encode()
    sent = {"content-type": "application/json"}
    assert small.client.post(path, content=content, headers=sent).status_code == 200


def test_every_answer_has_an_id_and_headers_that_keep_browsers_strict(server):
    for path in ("/health/live", "/nothing", "/v1/indexes"):
        answer = server.client.get(path, headers={"x-request-id": "mine-1"})
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers
    answer = server.client.get("/health/live", headers={"x-request-id": "evil\tid" + "x" * 99})
    assert answer.headers["x-request-id"] != "evil\tid" + "x" * 99


def test_who_writes_keys_leaves_the_file_to_who_reads_it(keys):
    path = keys[0]
    path.chmod(0o640)
    add_key(path, "new", "read")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_page_of_another_name_does_not_reach_a_server_without_keys(serve):
    with serve(hosts=frozenset({"localhost", "127.0.0.1", "[::1]"})) as server:
        for host, status in (("localhost:80", 200), ("[::1]:1", 200), ("evil.example", 403)):
            answer = server.post("/v2/rerank", RERANK, host=host)
            assert answer.status_code == status
        assert answer.json()["error"]["type"] == "unknown_host"


def test_made_up_methods_are_counted_as_one(server):
    for method in ("BREW", "MAKE"):
        assert server.client.request(method, "/v2/rerank").status_code == 405
    text = server.client.get("/metrics").text
    assert "BREW" not in text
    assert 'method="other"' in text
