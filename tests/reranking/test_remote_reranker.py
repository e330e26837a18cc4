from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import Response
from fastapi.responses import JSONResponse

from rerank_search import (
    Cascade,
    CrossEncoderReranker,
    Document,
    Index,
    InvalidInputError,
    ModelNotFoundError,
    RemoteReranker,
    RerankError,
    Searcher,
    rank_texts,
)
from rerank_search.client import ServerError
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service
from tests.apps import ModelApp, best_first, serving
from tests.http_calls.models import Model, started
from tests.waiting import until

QUERY = "join the paths of a file"
TEXTS = ["the bread is in the oven", "join the paths", "", "a boat on the river", "join the paths"]
PAIRS = [(QUERY, text) for text in TEXTS]


def worth(query: str, text: str) -> float:
    """A score that depends on both texts: how many words they share, and the text's length."""
    return len({*query.split()} & {*text.split()}) + len(text) / 1000


def scores(body: dict[str, Any]) -> list[float]:
    texts = body.get("texts") or body.get("documents") or body["text_2"]
    queries = body.get("text_1") or [body["query"]] * len(texts)
    return [worth(*pair) for pair in zip(queries, texts, strict=True)]


def others_app() -> ModelApp:
    """The rerank APIs of others."""
    made = ModelApp()
    made.add("/rerank", "texts", lambda body: best_first(scores(body), "score"))
    for path in ("/v1/rerank", "/v2/rerank"):
        made.add(
            path,
            "documents",
            lambda body: {"id": "1", "results": best_first(scores(body), "relevance_score")},
        )
    made.add("/score", "text_2", lambda body: {"data": best_first(scores(body), "score")})
    return made


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ModelApp, str]]:
    server = others_app()
    with serving(server.app) as url:
        yield server, url


@pytest.fixture
def others(running: tuple[ModelApp, str]) -> Iterator[tuple[ModelApp, str]]:
    yield running
    running[0].forget()


@pytest.fixture
def remote(others: tuple[ModelApp, str]) -> Iterator[Any]:
    made: list[RemoteReranker] = []

    def make(path: str = "/rerank", **arguments: Any) -> RemoteReranker:
        made.append(RemoteReranker(others[1] + path, **arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def own(tiny_reranker: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This package's own server, with a key."""
    home = tmp_path_factory.mktemp("own")
    service = Service(
        Indexes(home, {}, all_of_home=True),
        [CrossEncoderReranker(tiny_reranker, device="cpu")],
        Limits(),
    )
    with serving(create_app(service)) as url:
        yield url


PATHS = ("/rerank", "/v1/rerank", "/v2/rerank#jina-reranker", "/score")


@pytest.mark.parametrize("path", PATHS)
def test_each_text_gets_its_own_score_whatever_the_order_of_the_answer(remote, path):
    found = remote(path).score(PAIRS)
    assert found.dtype == np.float32
    assert found.tolist() == pytest.approx([worth(*pair) for pair in PAIRS])


@pytest.mark.parametrize("path", PATHS)
def test_pairs_of_several_queries_get_their_own_scores(remote, path):
    pairs = [*PAIRS, ("bread in the oven", TEXTS[0]), PAIRS[0], ("bread", TEXTS[0])]
    assert remote(path).score(pairs).tolist() == pytest.approx([worth(*pair) for pair in pairs])


def test_requests_are_those_of_each_api(others, remote):
    server, _ = others
    for path in PATHS:
        remote(path).score(PAIRS[:2])
    assert server.asked == [
        {"query": QUERY, "texts": TEXTS[:2], "raw_scores": True, "truncate": True},
        {"query": QUERY, "documents": TEXTS[:2]},
        {"model": "jina-reranker", "query": QUERY, "documents": TEXTS[:2]},
        {"text_1": [QUERY, QUERY], "text_2": TEXTS[:2]},
    ]


def test_an_instruction_is_sent_where_the_api_has_a_field_for_it(others, remote):
    server, _ = others
    for path in PATHS[1:]:
        reranker = remote(path)
        assert reranker.takes_instructions
        reranker.score(PAIRS[:2], instruction="find claims")
        reranker.score_within(PAIRS[:2], 60, instruction="find claims")
    assert [body["instruction"] for body in server.asked] == ["find claims"] * 6
    remote("/score").score(PAIRS[:2])
    assert "instruction" not in server.asked[-1]


def test_an_instruction_without_a_field_for_it_is_refused(others, remote):
    server, _ = others
    with pytest.raises(InvalidInputError, match="the API of text-embeddings-inference has no"):
        remote("/rerank").score(PAIRS, instruction="find claims")
    with pytest.raises(InvalidInputError, match="instruction=' ' is blank"):
        remote("/score").score(PAIRS, instruction=" ")
    assert server.asked == []


def test_the_api_can_be_named_where_the_path_is_another_ones(others, remote):
    server, _ = others
    with pytest.raises(ServerError):  # this one has no documents on this path
        remote("/rerank", api="rerank").score(PAIRS)
    assert server.asked[0] == {"query": QUERY, "documents": TEXTS}


def test_nothing_is_sent_for_no_pairs(others, remote):
    assert remote().score([]).shape == (0,)
    assert others[0].asked == []


def test_a_server_that_stays_busy_is_an_error(others, remote):
    others[0].first = [Response("busy", 429)]
    with pytest.raises(ServerError, match="429: the answer is of no type, not JSON"):
        remote(retries=0).score(PAIRS)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (JSONResponse({"error": "no such model", "error_type": "x"}, 400), "400: 'no such model'"),
        (JSONResponse({"error": {"message": "too long"}}, 422), "422: 'too long'"),
        (JSONResponse({"message": "inference failed"}, 424), "424: 'inference failed'"),
        (Response("<html>", 500, media_type="text/html"), "500: the answer is text/html, not JSON"),
        (Response(status_code=401), "wants a key: set RERANK_SEARCH_KEY_127_0_0_1"),
        (Response(status_code=404), "no such path or model"),
        (Response(status_code=307, headers={"Location": "/else"}), "redirects to '/else'"),
        (Response("<html>", media_type="text/html"), "text/html, not JSON"),
        (JSONResponse({"results": []}), "has no results with index and score"),
        (JSONResponse([{"index": 0, "score": 1}]), "for the texts \\[0\\], and 5 were sent"),
        (JSONResponse([{"index": place % 4, "score": 1} for place in range(5)]), "for the texts"),
        (JSONResponse([{"index": place, "score": "x"} for place in range(5)]), "has no results"),
        (JSONResponse([{"index": place, "score": 1e39} for place in range(5)]), "has no results"),
        (
            Response(json.dumps([{"index": place, "score": float("nan")} for place in range(5)])),
            "has no results with index and score",
        ),
    ],
)
def test_an_error_is_raised_at_once_and_names_the_url(others, remote, answer, message):
    server, url = others
    server.first = [answer]
    with pytest.raises(ServerError, match=message) as raised:
        remote().score(PAIRS)
    assert f"{url}/rerank" in str(raised.value)
    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_named():
    reranker = RemoteReranker("http://127.0.0.1:9/rerank", retries=0)
    with pytest.raises(
        ServerError, match=r"127\.0\.0\.1:9/rerank: the connection failed"
    ) as raised:
        reranker.score(PAIRS)
    assert raised.value.type == "connection"
    reranker.close()


def test_a_server_without_a_valid_certificate_is_named(others):
    secure = others[1].replace("http://", "https://")
    reranker = RemoteReranker(f"{secure}/rerank", retries=0)
    with pytest.raises(ServerError, match=r"the connection failed \(.*SSL"):
        reranker.score(PAIRS)
    reranker.close()


def test_no_more_is_waited_for_than_the_budget(others, remote):
    server, _ = others
    server.released.clear()
    try:
        assert remote().score_within(PAIRS, 0.05) is None
    finally:
        server.released.set()
    assert remote().score_within(PAIRS, 60) is not None


def test_a_busy_server_is_not_waited_for_beyond_the_budget(others, remote):
    server, _ = others
    server.first = [Response("busy", 429, {"Retry-After": "30"})]
    with pytest.raises(ServerError, match="429"):
        remote().score_within(PAIRS, 1)
    assert len(server.asked) == 1


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index")
    with Index.create(folder / "notes", encoder=None) as made:
        made.add([Document(str(place), text) for place, text in enumerate(TEXTS)])
        yield made


def test_a_search_reranks_by_the_url_alone(others, index):
    response = Searcher(index, f"{others[1]}/rerank").search("join the paths")
    assert response.reranked
    assert [hit.id for hit in response.hits][:2] == ["1", "4"]
    assert response.hits[0].score == pytest.approx(worth("join the paths", TEXTS[1]))
    hits = rank_texts("join the paths", TEXTS, reranker=f"{others[1]}/rerank", top_k=1)
    assert [hit.id for hit in hits] == ["1"]


def test_a_search_falls_back_to_the_first_stage(others, index):
    server, url = others
    server.first = [Response(status_code=500)]
    searcher = Searcher(index, f"{url}/rerank", on_rerank_error="first_stage")
    response = searcher.search("join the paths")
    assert not response.reranked
    assert f"POST {url}/rerank: 500" in str(response.degraded)
    server.first = [Response(status_code=500)]
    with pytest.raises(RerankError, match="500"):
        Searcher(index, f"{url}/rerank").search("join the paths")


def test_a_search_keeps_to_its_budget(others, index):
    server, url = others
    server.released.clear()
    try:
        response = Searcher(index, f"{url}/rerank").search("join the paths", budget_ms=200)
    finally:
        server.released.set()
    assert not response.reranked
    assert "no time was left" in str(response.degraded)
    assert [hit.id for hit in response.hits][:2] == ["1", "4"]


def test_a_cascade_may_end_at_a_server(others, remote, tiny_reranker):
    cascade = Cascade([tiny_reranker, remote()], keep=[2])
    assert np.sort(cascade.score(PAIRS))[-1] == pytest.approx(
        max(worth(*pair) for pair in PAIRS), abs=3
    )
    assert [len(body["texts"]) for body in others[0].asked] == [2]


def test_another_model_behind_the_url_is_noticed(others, remote):
    server, _ = others
    one, same, other = remote(), remote(), remote("/v1/rerank")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    server.first = [JSONResponse([{"index": 0, "score": 0.5}, {"index": 1, "score": 0.1}])]
    assert one.fingerprint != same.fingerprint


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank", "/score"])
def test_our_own_server_gives_the_scores_of_its_model(own, tiny_reranker, path):
    here = CrossEncoderReranker(tiny_reranker, device="cpu")
    there = RemoteReranker(own + path)
    logits = here.score(PAIRS)
    expected = logits if path == "/rerank" else here.activated(logits)
    assert there.score(PAIRS) == pytest.approx(expected, abs=1e-5)
    assert there.activated(there.score(PAIRS)) == pytest.approx(here.activated(logits), abs=1e-5)
    there.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"url": "http://h/embed"}, "'http://h/embed' does not end with the path of a rerank API"),
        ({"url": "ftp://h/rerank"}, "url='ftp://h/rerank' is not a URL"),
        ({"url": "http://h/rerank?key=1"}, "is not the address of a server"),
        ({"url": "http://u:p@h/rerank"}, "contains a user name"),
        ({"url": "http:///rerank"}, "is not the address of a server"),
        ({"url": None}, "url=None is not a URL"),
        ({"url": "http://h/rerank", "api": "cohere"}, "api='cohere' is unknown: use one of tei"),
        ({"url": "http://h/rerank", "pairs_at_once": 0}, "pairs_at_once=0 must be at least 1"),
        ({"url": "http://h/rerank", "timeout": 0}, "timeout=0 must be above 0"),
        ({"url": "http://h/rerank", "retries": -1}, "retries=-1 must be at least 0"),
        ({"url": "http://h/rerank", "api_key": "a\nb"}, "api_key is not valid"),
        ({"url": "http://h/rerank,http://i/v2/rerank"}, "have different APIs, whose scores cannot"),
        ({"url": "http://h/rerank,http://i/embed"}, "'http://i/embed' does not end with the path"),
        ({"url": "http://h/rerank,ftp://i/rerank"}, "url='ftp://i/rerank' is not a URL"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(arguments, message):
    with pytest.raises(InvalidInputError, match=message) as raised:
        RemoteReranker(**arguments)
    assert "u:p" not in str(raised.value)


def test_another_machine_is_not_called_offline(monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match=r"api\.jina\.ai.*RERANK_SEARCH_OFFLINE is set"):
        RemoteReranker("https://api.jina.ai/v1/rerank")
    RemoteReranker("http://localhost:8080/rerank")


@pytest.fixture
def several() -> Iterator[list[Model]]:
    models = [Model(), Model(), Model()]
    with started(*models):
        yield models


def urls(models: list[Model], path: str = "/rerank") -> str:
    return ",".join(model.address + path for model in models)


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
@pytest.mark.parametrize("most", [2, 32])
def test_several_servers_give_the_scores_of_one_in_the_same_requests(several, path, most):
    for model in several:
        model.most = most
    pairs = [(query, text * place) for query in "abc" for place in range(3) for text in TEXTS]
    one = RemoteReranker(urls(several[:1], path))
    expected = one.score(pairs)
    sent = [json.dumps(body) for body in several[0].asked]
    several[0].asked.clear()
    all_of_them = RemoteReranker(urls(several, path))
    assert all_of_them.score(pairs).tolist() == expected.tolist()
    assert all(model.asked for model in several)
    if most == 32:
        assert sorted(json.dumps(body) for model in several for body in model.asked) == sorted(sent)
    one.close()
    all_of_them.close()


def test_chunks_of_a_call_are_under_way_on_all_servers_together(several):
    for model in several:
        model.released.clear()
    reranker = RemoteReranker(urls(several), pairs_at_once=1)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(reranker.score, [("query", "text")] * 12)
        until(lambda: [len(model.asked) for model in several] == [4, 4, 4])
        for model in several:
            model.released.set()
        assert found.result().tolist() == [4.0] * 12
    reranker.close()


def test_a_search_goes_on_while_a_server_is_down(several, index, monkeypatch):
    monkeypatch.setenv("RERANK_SEARCH_RERANKER", urls(several))
    searcher = Searcher(index, "auto")
    several[0].always = "die"
    several[1].stop()
    for _ in range(4):
        assert searcher.search("join the paths", budget_ms=60_000).reranked
    several[2].stop()
    with pytest.raises(RerankError, match="none of the 3 servers answers"):
        Searcher(index, RemoteReranker(urls(several), retries=0)).search("join the paths")


def test_a_copy_asks_the_same_servers(several):
    reranker = RemoteReranker(urls(several), hedge_after=60)
    assert repr(reranker).startswith(f"RemoteReranker('{several[0].address}/rerank,http")
    copy = pickle.loads(pickle.dumps(reranker))  # noqa: S301
    for _ in range(3):
        copy.score(PAIRS)
    assert [len(model.asked) for model in several] == [1, 1, 1]
    copy.close()
