"""What the reranker and the encoder behind a URL have in common: chunks, retries, keys, copies."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fastapi import Response

from rerank_search import InvalidInputError, RemoteEncoder, RemoteReranker
from rerank_search.client import ServerError
from tests.apps import ModelApp, best_first, serving

TEXTS = ["join the paths", "the bread is in the oven", "", "a boat on the river", "join the paths"]


@dataclass
class Remote:
    """A model behind a URL, how it is called, and the field of its requests that has the texts."""

    make: Callable[..., Any]
    found: Callable[[Any, list[str]], list[float]]
    field: str
    at_once: str


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ModelApp, str]]:
    app = ModelApp()
    app.add(
        "/v1/rerank",
        "documents",
        lambda body: {"results": best_first([*map(len, body["documents"])], "relevance_score")},
    )
    app.add(
        "/v1/embeddings",
        "input",
        lambda body: {
            "data": best_first([[1.0, len(text)] for text in body["input"]], "embedding")
        },
    )
    with serving(app.app) as url:
        yield app, url


@pytest.fixture
def server(running: tuple[ModelApp, str]) -> Iterator[ModelApp]:
    yield running[0]
    running[0].forget()


@pytest.fixture(params=["reranker", "encoder"])
def remote(
    request: pytest.FixtureRequest, server: ModelApp, running: tuple[ModelApp, str]
) -> Remote:
    if request.param == "reranker":
        return Remote(
            lambda model="", **options: RemoteReranker(f"{running[1]}/v1/rerank{model}", **options),
            lambda made, texts: made.score([("paths", text) for text in texts]).tolist(),
            "documents",
            "pairs_at_once",
        )
    return Remote(
        lambda model="", **options: RemoteEncoder(f"{running[1]}/v1/embeddings{model}", **options),
        lambda made, texts: _lengths(made.encode(texts)),
        "input",
        "texts_at_once",
    )


def _lengths(vectors: np.ndarray) -> list[float]:
    return (vectors[:, 1] / vectors[:, 0]).tolist()


def lengths(texts: list[str]) -> Any:
    return pytest.approx([*map(len, texts)], abs=1e-4)


@pytest.mark.parametrize("most", [1, 3, 32])
def test_chunks_follow_the_servers_limit(server: ModelApp, remote: Remote, most: int) -> None:
    server.most = most
    texts = [f"{text} {place}" for place in range(20) for text in TEXTS]
    made = remote.make()
    assert remote.found(made, texts) == lengths(texts)
    server.asked.clear()
    remote.found(made, texts)
    assert max(len(body[remote.field]) for body in server.asked) <= most  # it has learned the limit


def test_one_text_that_is_too_large_is_an_error(server: ModelApp, remote: Remote) -> None:
    server.most = 0
    with pytest.raises(ServerError, match="413: 'batch size 1 > maximum") as raised:
        remote.found(remote.make(), TEXTS)
    assert raised.value.status == 413


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_again(
    server: ModelApp, remote: Remote, status: int
) -> None:
    server.first = [Response("busy", status, {"Retry-After": "0"})]
    assert remote.found(remote.make(retries=1), TEXTS) == lengths(TEXTS)
    assert len(server.asked) == 2


def test_the_key_of_the_host_is_sent_and_pickled_nowhere(
    server: ModelApp, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", "secret-1")
    monkeypatch.setenv("RERANK_SEARCH_KEY_API_JINA_AI", "other")
    from_environment = remote.make()
    remote.found(from_environment, TEXTS)
    given = remote.make(api_key="secret-2")
    remote.found(given, TEXTS)
    assert server.keys == ["Bearer secret-1", "Bearer secret-2"]
    pickled = pickle.dumps(from_environment).decode("latin-1")
    assert "secret" not in repr(given) + repr(vars(given)) + pickled
    with pytest.raises(InvalidInputError, match="cannot be pickled"):
        pickle.dumps(given)
    server.first = [Response(status_code=403)]
    with pytest.raises(ServerError, match="refuses the key") as raised:
        remote.found(given, TEXTS)
    assert "secret" not in str(raised.value)


def test_a_copy_asks_the_same_server(server: ModelApp, remote: Remote) -> None:
    copy = pickle.loads(pickle.dumps(remote.make("#m", retries=1, **{remote.at_once: 2})))  # noqa: S301
    assert remote.found(copy, TEXTS) == lengths(TEXTS)
    assert {body["model"] for body in server.asked} == {"m"}
    assert max(len(body[remote.field]) for body in server.asked) == 2
    copy.close()


def test_a_closed_one_connects_again(remote: Remote) -> None:
    made = remote.make()
    for _ in range(2):
        assert remote.found(made, TEXTS) == lengths(TEXTS)
        made.close()


def test_threads_share_one(remote: Remote) -> None:
    made = remote.make()
    with ThreadPoolExecutor(16) as pool:
        for found in pool.map(lambda _: remote.found(made, TEXTS), range(16)):
            assert found == lengths(TEXTS)
