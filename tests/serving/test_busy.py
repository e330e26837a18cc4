"""A server whose model is busy, or that gets a very long text, still answers other requests."""

from __future__ import annotations

import threading
import time

import httpx2
import pytest

from rerank_search.serving.limits import Limits
from tests.serving.gated import Gated
from tests.waiting import until

RERANK = {"query": "a file", "documents": ["read a file", "a river"]}


def test_the_event_loop_answers_while_the_model_computes(serve):
    slow = Gated()
    with serve(slow) as server:
        threads = [
            threading.Thread(target=server.post, args=(path, asked))
            for path, asked in (("/v2/rerank", RERANK), ("/v1/search", {"query": "join two paths"}))
        ]
        for thread in threads:
            thread.start()
        until(lambda: slow.calls and server.service.rerankers.shared("gated").waiting > 0)
        assert server.client.get("/health/live", timeout=10).status_code == 200
        assert b"rerank_search_waiting_pairs" in server.client.get("/metrics", timeout=10).content
        asked = {"query": "join", "rerank": False}
        assert server.post("/v1/search", asked).status_code == 200
        slow.gate.set()
        for thread in threads:
            thread.join()


@pytest.mark.process
@pytest.mark.parametrize("piece", [".", "?!", "…", "\u0301\u0316", "中"])
def test_a_document_of_one_piece_keeps_nobody_waiting(fresh, piece):
    body = {"documents": [{"id": "long", "text": "word" + piece * (500_000 // len(piece))}]}
    assert fresh.client.put("/v1/indexes/words", json={"encoder": None}).status_code == 201
    answers: list[httpx2.Response] = []
    writing = threading.Thread(
        target=lambda: answers.append(fresh.post("/v1/indexes/words/documents", body))
    )
    writing.start()
    while writing.is_alive():
        assert fresh.client.get("/health/live", timeout=10).status_code == 200
        writing.join(0.2)
    assert answers[0].json()["written"] == 1


@pytest.mark.parametrize("piece", ["中", "aB3/x+9", "?!", "z"])
def test_a_text_without_a_space_is_reranked_beside_a_short_one(server, piece):
    def score(*documents: str) -> float:
        """The score of the last document."""
        asked = {"query": "a file", "documents": documents}
        results = server.post("/v2/rerank", asked).json()["results"]
        by_index = {one["index"]: one["relevance_score"] for one in results}
        return by_index[len(documents) - 1]

    alone = score("read a file")
    started = time.process_time()
    beside = score(piece * (900_000 // len(piece)), "read a file")
    assert beside == pytest.approx(alone, abs=1e-5)
    assert time.process_time() - started < 20


@pytest.mark.process
@pytest.mark.parametrize(
    ("path", "asked"), [("/v2/rerank", RERANK), ("/v1/search", {"query": "join two paths"})]
)
def test_who_has_gone_is_not_computed_for(serve, path, asked):
    slow = Gated()
    with serve(slow) as server:
        busy = threading.Thread(target=server.post, args=("/v2/rerank", RERANK))
        busy.start()
        until(lambda: slow.calls)
        waiting = server.service.rerankers.shared("gated")
        with httpx2.Client(base_url=server.url) as impatient:
            leaving = threading.Thread(target=_ask_and_leave, args=(impatient, path, asked))
            leaving.start()
            until(lambda: waiting.waiting > 0)
            leaving.join()
        until(lambda: waiting.waiting == 0)
        slow.gate.set()
        busy.join()
        assert server.post("/v2/rerank", RERANK).status_code == 200
        assert slow.calls == [2, 2]


def _ask_and_leave(client: httpx2.Client, path: str, asked: object) -> None:
    with pytest.raises(httpx2.TimeoutException):
        client.post(path, json=asked, timeout=1.0)


def test_a_full_queue_is_told_as_such(serve):
    slow = Gated()
    with serve(slow, limits=Limits(waiting_pairs=3)) as server:
        asked = {"query": "a file", "documents": ["a"] * 3}
        threads = [
            threading.Thread(target=server.post, args=("/v2/rerank", asked)) for _ in range(2)
        ]
        threads[0].start()
        until(lambda: slow.calls)
        threads[1].start()
        until(lambda: server.service.rerankers.shared("gated").waiting == 3)
        for path, body in (("/v2/rerank", asked), ("/v1/search", {"query": "join two paths"})):
            answer = server.post(path, body)
            assert answer.status_code == 429
            assert answer.json()["error"]["type"] == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
        tei = server.post("/rerank", {"query": "a", "texts": ["b"]})
        assert (tei.status_code, tei.json()["error_type"]) == (429, "overloaded")
        slow.gate.set()
        for thread in threads:
            thread.join()


def refuses(url: str) -> bool:
    try:
        httpx2.get(f"{url}/health/live", timeout=10)
    except httpx2.TransportError:
        return True
    return False


def test_a_request_that_is_being_answered_is_answered_at_the_end(serve):
    slow = Gated()
    answers: list[int] = []
    with serve(slow) as server:
        ask = threading.Thread(
            target=lambda: answers.append(
                httpx2.post(f"{server.url}/v2/rerank", json=RERANK, timeout=60).status_code
            )
        )
        ask.start()
        until(lambda: slow.calls)
        # The server is told to end, and the model goes on only after that.
        server.end()
        until(lambda: refuses(server.url))
        slow.gate.set()
    ask.join()
    assert answers == [200]
