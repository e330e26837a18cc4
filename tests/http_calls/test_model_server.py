from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import repeat

import httpx2
import pytest
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, StreamingResponse

from rerank_search.errors import InvalidInputError, ModelNotFoundError, ServerError
from rerank_search.http_calls.attempts import Attempts
from rerank_search.http_calls.endpoint import Endpoint
from rerank_search.http_calls.model_server import ModelServer
from tests.apps import ModelApp, serving


def test_an_international_name_is_spelled_as_it_is_sent(monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_KEY_XN____BCHER__KVA_DE", "secret\n")
    with pytest.raises(InvalidInputError, match="KEY_XN____BCHER__KVA_DE is not valid"):
        server("https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.de")


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ModelApp, str]]:
    app = ModelApp()
    app.add("/ask", "texts", lambda body: {"sent": body})
    with serving(app.app) as url:
        yield app, f"{url}/ask"


@pytest.fixture
def app(running: tuple[ModelApp, str]) -> Iterator[ModelApp]:
    yield running[0]
    running[0].forget()


@pytest.fixture
def running_slowly() -> Iterator[str]:
    """A server whose answer at /drip goes on for as long as somebody reads it."""
    app = FastAPI()

    @app.post("/drip")
    async def drip() -> Response:
        return StreamingResponse(repeat(b" "), media_type="application/json")

    with serving(app) as url:
        yield url


def server(url: str, **arguments: object) -> ModelServer:
    settings = {"api_key": None, "timeout": 60, "retries": 0}
    return ModelServer(url, **{**settings, **arguments})  # type: ignore[arg-type]


def test_the_models_name_is_sent_with_the_body(app, running):
    asked = server(f"{running[1]}#some/model")
    assert asked.url == running[1]
    assert asked.ask({"texts": ["ü"]}) == {"sent": {"model": "some/model", "texts": ["ü"]}}
    asked.close()


def test_attempts_wait_as_long_as_the_server_asks(app, running):
    waits: list[float] = []
    app.first = [Response(status_code=429, headers={"Retry-After": "2"})]
    asked = server(running[1], retries=1, sleep=waits.append)
    asked.ask({"texts": []})
    assert len(waits) == 1
    assert 2 <= waits[0] <= 2.5
    asked.close()


def test_no_wait_ends_after_the_moment_when_nobody_waits_any_more():
    endpoint = Endpoint("http://h", api_key=None, timeout=60, retries=3, random=lambda: 0.0)
    busy = httpx2.Response(503, headers={"Retry-After": "10"})
    assert Attempts(endpoint, until=time.monotonic() + 5).wait(busy) is None
    assert Attempts(endpoint, until=time.monotonic() + 60).wait(busy) == 10
    assert Attempts(endpoint, until=math.inf).wait(busy) == 10


@pytest.mark.parametrize(("timeout", "budget"), [(60, 0.2), (0.2, math.inf)])
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for_to_its_end(
    running_slowly, timeout, budget
):
    asked = server(f"{running_slowly}/drip", timeout=timeout)
    with pytest.raises(ServerError, match="no answer in time") as raised:
        asked.ask({"texts": []}, until=time.monotonic() + budget)
    assert raised.value.type == "timeout"
    asked.close()


def test_an_answer_that_is_no_json_is_an_error_that_names_the_url(app, running):
    app.first = [Response("<p>Welcome</p>", media_type="text/html")]
    with pytest.raises(ServerError, match=r"/ask.*it is text/html, not JSON.*check the URL"):
        server(running[1]).ask({"texts": []})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "no"}}, "'no'"),
        ({"error": "no", "error_type": "Validation"}, "'no'"),
        ({"message": "no"}, "'no'"),
        ({"detail": [{"loc": ["body"], "msg": "no"}]}, "[{'loc': ['body'], 'msg': 'no'}]"),
        (["no"], "['no']"),
    ],
)
def test_the_servers_own_words_are_in_the_error(app, running, body, said):
    app.first = [JSONResponse(body, 400)]
    with pytest.raises(ServerError) as raised:
        server(running[1]).ask({"texts": []})
    assert str(raised.value).endswith(f"/ask: 400: {said}")
    assert (raised.value.status, raised.value.type) == (400, "refused")


def test_offline_only_this_machine_is_called(app, running, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    assert server(running[1]).ask({"texts": []})
    with pytest.raises(ModelNotFoundError, match="on another machine"):
        server("http://example.com/ask").ask({"texts": []})


def test_a_key_with_a_line_break_is_refused(monkeypatch):
    with pytest.raises(InvalidInputError, match="api_key is not valid: give the key as"):
        server("http://h/ask", api_key="a\nb")
    with pytest.raises(InvalidInputError, match="api_key is not valid"):
        server("http://h/ask", api_key="")
    monkeypatch.setenv("RERANK_SEARCH_KEY_H", "secret\n")
    with pytest.raises(InvalidInputError, match="RERANK_SEARCH_KEY_H is not valid") as raised:
        server("http://h/ask")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("status", [200, 302, 400, 404, 503])
def test_a_key_that_the_server_repeats_is_not_in_the_error(app, running, status):
    said = {"error": "the key s3cret-9 is bad", "index": "s3cret-9"}
    app.first = [JSONResponse(said, status, {"Location": "http://h/?key=s3cret-9"})]
    asked = server(running[1], api_key="s3cret-9")
    with pytest.raises(ServerError, match=r"\(the key\)") as raised:
        asked.in_order(asked.ask({"texts": []}), "data", "score", 1, float)
    assert "s3cret" not in str(raised.value)
    asked.close()


@pytest.mark.parametrize(
    "url", ["http://\ud800/ask", "http://h/\0", "http://h:port/ask", "http://h/ask#\ud800"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InvalidInputError, match=r"URL"):
        server(url)


@pytest.mark.parametrize(
    "body", ["[" * 100_000, '[{"index": 1e999, "score": 1}]', '[{"index": 0.5, "score": 1}]']
)
def test_odd_json_is_an_error_of_the_server(app, running, body):
    app.first = [Response(body, media_type="application/json")]
    asked = server(running[1])
    with pytest.raises(ServerError, match="the answer cannot be read"):
        asked.in_order(asked.ask({"texts": []}), None, "score", 1, float)
    asked.close()
