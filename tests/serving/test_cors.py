"""Pages of other origins, as browsers ask for them."""

from __future__ import annotations

import json
import logging

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.serving.cors import checked_origins
from rerank_search.serving.keys import KeyFile, add_key
from rerank_search.serving.limits import Limits
from rerank_search.serving.log import JsonFormatter
from tests.waiting import until

PAGE = "https://app.example"
ALLOWED = "access-control-allow-origin"


def preflight(server, path, origin=PAGE, method="POST"):
    return server.client.options(
        path,
        headers={
            "origin": origin,
            "access-control-request-method": method,
            "access-control-request-headers": "authorization,content-type,x-api-key",
        },
    )


def test_a_page_reads_answers_and_errors(serve, tmp_path):
    secret = add_key(tmp_path / "keys.json", "page", "read")
    limits = Limits(body_bytes=1000, requests_per_minute=3)
    keys = KeyFile(tmp_path / "keys.json")
    with serve(None, keys=keys, limits=limits, cors_origins=[PAGE, "http://localhost:3000"]) as s:
        for path, method in (("/v1/search", "POST"), ("/v1/indexes/notes", "DELETE")):
            asked = preflight(s, path, method=method)
            assert (asked.status_code, asked.headers[ALLOWED]) == (200, PAGE)
            assert method in asked.headers["access-control-allow-methods"]
        sent = {"origin": PAGE, "authorization": f"Bearer {secret}"}
        body = {"query": "join", "rerank": False}
        large = {"query": "x" * 2000}
        answers = [
            s.post("/v1/search", body, origin=PAGE),
            s.post("/v1/search", body, **sent),
            s.post("/v1/search", large, **sent),
            s.client.get("/nothing", headers=sent),
            s.post("/v1/search", body, **sent),
        ]
        assert [each.status_code for each in answers] == [401, 200, 413, 404, 429]
        for each in answers:
            assert each.headers[ALLOWED] == PAGE
            assert "X-Request-ID" in each.headers["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in each.headers


def test_a_page_of_another_origin_is_not_allowed(serve):
    with serve(None, cors_origins=[PAGE]) as server:
        refused = preflight(server, "/v1/search", origin="https://evil.example")
        assert refused.status_code == 400
        assert ALLOWED not in refused.headers
        read = server.client.get("/v1/indexes", headers={"origin": "https://evil.example"})
        assert ALLOWED not in read.headers


def test_preflight_requests_are_logged_and_counted(serve, caplog):
    caplog.set_level(logging.INFO, logger="rerank_search.serving")
    with serve(None, cors_origins=[PAGE]) as server:
        allowed = preflight(server, "/v1/search")
        refused = preflight(server, "/v1/search", origin="https://evil.example")
        until(lambda: len(caplog.records) >= 2)
        lines = [json.loads(JsonFormatter().format(each)) for each in caplog.records]
        for line, answer in zip(lines, [allowed, refused], strict=True):
            assert (line["method"], line["path"]) == ("OPTIONS", "/v1/search")
            assert line["status"] == answer.status_code
            assert line["request_id"] == answer.headers["x-request-id"]
        assert 'method="OPTIONS"' in server.client.get("/metrics").text


def test_without_the_option_no_page_is_allowed(server):
    assert preflight(server, "/v1/search").status_code == 405
    assert ALLOWED not in server.client.get("/v1/indexes", headers={"origin": PAGE}).headers


def test_origins_are_those_that_browsers_send():
    given = ["https://App.example", "http://localhost:3000", "http://[::1]:80", "*"]
    assert checked_origins(given) == [each.lower() for each in given]


@pytest.mark.parametrize(
    "origin",
    ["", "app.example", "https://app.example/", "https://app.example/a", "https://*.example", 5],
)
def test_anything_else_is_no_origin(origin):
    with pytest.raises(InvalidInputError, match="is not an origin"):
        checked_origins([origin])


def test_one_string_is_not_a_list_of_origins():
    with pytest.raises(InvalidInputError, match="give a list"):
        checked_origins("https://app.example")
