from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import httpx2
import numpy as np
import pytest

from rerank_search import Index
from rerank_search.serving.limits import Limits
from rerank_search.serving.log import JsonFormatter, log_to
from rerank_search.serving.server import Server

RERANK = {"query": "a file", "documents": ["read a file", "a river"]}


class Gated:
    """A reranker that somebody else wrote, and that takes its time."""

    name = "gated"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.calls: list[int] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.calls.append(len(pairs))
        assert self.gate.wait(60)
        return np.zeros(len(pairs), dtype=np.float32)


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
        """Of the last of the documents."""
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


def test_a_fault_of_ours_says_nothing_of_itself(serve, caplog):
    class Wrong:
        name = "wrong"
        activated = "not a function"

        def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
            return np.zeros(len(pairs), dtype=np.float32)

    with serve(Wrong()) as server:
        answer = server.post("/v2/rerank", RERANK)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "internal"
    assert "function" not in answer.text
    assert answer.headers["x-request-id"] == answer.json()["request_id"]
    assert any("TypeError" in (record.exc_text or "") for record in caplog.records)


def test_others_exceptions_and_paths_are_not_told(serve, tiny_reranker, tmp_path, caplog):
    class Wrong:
        name = str(tmp_path)

        def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
            raise ValueError("/srv/private has no space")

    with serve(Wrong()) as server:
        reranked = server.post("/v2/rerank", RERANK)
        searched = server.post("/v1/search", {"query": "join two paths"})
    assert reranked.json()["error"]["type"] == "reranker_failed"
    assert "failed (ValueError)" in reranked.json()["message"]
    assert "failed (ValueError)" in searched.json()["results"][0]["degraded"]
    for answer in (reranked, searched):
        assert "private" not in answer.text
        assert str(tmp_path) not in answer.text
    assert "/srv/private has no space" in caplog.text


def test_the_log_has_a_line_of_json_a_request_and_no_texts(server, caplog):
    caplog.set_level(logging.INFO, logger="rerank_search.serving")
    server.post("/v2/rerank", {"query": "secret words", "documents": ["hidden words"]})
    server.post("/v1/search", {"query": "secret words"}, **{"x-request-id": "mine"})
    until(lambda: len(caplog.records) >= 2)
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert [line["path"] for line in lines] == ["/v2/rerank", "/v1/search"]
    assert lines[1]["request_id"] == "mine"
    assert all(line["status"] == 200 and line["ms"] > 0 for line in lines)
    assert "words" not in str(lines)


@pytest.mark.filterwarnings("default")
def test_an_exception_is_one_line_of_the_log():
    log = io.StringIO()
    before = logging.getLogger().handlers, logging.getLogger().level
    own = logging.getLogger("rerank_search.serving")
    level, hook = own.level, threading.excepthook
    try:
        log_to(log)
        try:
            raise ValueError("of two\nlines")
        except ValueError:
            logging.getLogger("some.library").exception("it failed")
        logging.getLogger("some.library").info("not for a log")
        warnings.warn("take care", UserWarning, stacklevel=1)
        ending = threading.Thread(target=lambda: 1 / 0)
        ending.start()
        ending.join()
    finally:
        logging.captureWarnings(False)
        threading.excepthook = hook
        logging.getLogger().handlers, logging.getLogger().level = before
        own.setLevel(level)
    said, warned, ended = map(json.loads, log.getvalue().splitlines())
    assert "take care" in warned["message"]
    assert "ZeroDivisionError" in ended["exception"]
    assert (said["level"], said["logger"]) == ("ERROR", "some.library")
    assert said["message"] == "it failed"
    assert said["exception"].endswith("ValueError: of two\nlines")


def test_what_is_measured(server):
    server.post("/v1/search", {"query": "join two paths"})
    server.client.get("/no/such/path")
    text = server.client.get("/metrics").text
    assert re.search(r'request_seconds_count\{.*route="/v1/search",status="200"\} [1-9]', text)
    assert re.search(r'request_seconds_count\{.*route="other",status="404"\} [1-9]', text)
    assert "/no/such/path" not in text
    for stage in ("first_stage", "rerank", "total"):
        assert re.search(rf'stage_seconds_count\{{stage="{stage}"\}} [1-9]', text)
    for name in ("round_pairs_count", "truncated_texts_total", "waiting_pairs"):
        assert f"rerank_search_{name}" in text


def test_two_apps_count_for_themselves(server, serve):
    with serve() as other:
        assert "/v1/models" not in other.client.get("/metrics").text
        server.client.get("/v1/models")
        assert "/v1/models" not in other.client.get("/metrics").text


def test_the_api_describes_itself(server):
    described = server.client.get("/openapi.json").json()
    assert {"/v1/search", "/rerank", "/score", "/v1/indexes/{name}/documents"} <= set(
        described["paths"]
    )
    schema = described["components"]["schemas"]["SearchRequest"]
    assert schema["examples"][0]["query"]
    references = re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described))
    assert set(references) <= set(described["components"]["schemas"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    Index.create(folder / "notes", encoder=None).close()
    return folder


@pytest.mark.process
@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (signal.SIGTERM, {-signal.SIGTERM}),
        # 0 where the tests themselves were started with SIGINT ignored, as in the background.
        (signal.SIGINT, {130, 0}),
        (signal.SIGKILL, {-signal.SIGKILL}),
    ],
)
def test_what_was_acknowledged_is_there_however_the_server_ends(
    home, tiny_reranker, serving, ending, expected
):
    acknowledged: list[str] = []
    with serving(home, "--reranker", str(tiny_reranker)) as server:

        def write(number: int) -> None:
            with httpx2.Client(base_url=server.url, timeout=30) as client:
                for i in range(10_000):
                    document = {"id": f"{number}-{i}", "text": "words"}
                    try:
                        path = "/v1/indexes/notes/documents"
                        answer = client.post(path, json={"documents": [document]})
                    except httpx2.TransportError:
                        return
                    if answer.status_code != 200:
                        return
                    acknowledged.append(document["id"])

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        until(lambda: len(acknowledged) > 10)
        server.process.send_signal(ending)
        for writer in writers:
            writer.join()
        status = server.process.wait(40)
    assert status in expected
    with Index.open(home / "notes") as index:
        assert not [id for id in acknowledged if id not in index]
        assert index.verify() == []


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
        threading.Timer(0.5, slow.gate.set).start()
    ask.join()
    assert answers == [200]


def test_small_answers_are_sent_at_once():
    with Server("127.0.0.1", 0) as server:
        # By which asyncio switches Nagle's algorithm off for connections.
        assert server._socket.proto == socket.IPPROTO_TCP


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rerank_search", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "RERANK_SEARCH_HOME"},
        check=False,
    )


@pytest.mark.process
def test_strangers_are_not_served_without_keys(tmp_path):
    done = command("serve", "--host", "0.0.0.0", cwd=tmp_path)
    assert done.returncode == 2
    assert "rerank-search key add" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_an_address_that_is_taken_is_told_before_models_load(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = command("serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
    assert done.returncode == 2
    assert "choose another --port" in done.stderr


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no index"),
        (["--keys", "no.json"], "rerank-search key add"),
        (["--reranker", "no-such-model"], "no-such-model"),
        (["--host", "999.1.1.1", "--without-keys"], "cannot listen at"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path, arguments, message):
    done = command("serve", "--port", "0", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.process
def test_two_of_one_name_are_not_served(tmp_path, tiny_reranker):
    for folder in ("a", "b"):
        Index.create(tmp_path / folder / "notes", encoder=None).close()
        shutil.copytree(tiny_reranker, tmp_path / folder / "model")
    for arguments in (["a/notes", "b/notes"], ["--reranker", "a/model", "--reranker", "b/model"]):
        done = command("serve", "--port", "0", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "have the same name" in done.stderr


@pytest.mark.process
def test_keys_are_made_listed_and_removed(tmp_path):
    made = command("key", "add", "app", "--file", "keys.json", "--write", cwd=tmp_path)
    assert re.fullmatch(r"rs_[\w-]{43}\n", made.stdout)
    listed = command("key", "list", "--file", "keys.json", cwd=tmp_path)
    assert listed.stdout.split()[:2] == ["app", "write"]
    assert command("key", "remove", "app", "--file", "keys.json", cwd=tmp_path).returncode == 0
    assert command("key", "list", "--file", "keys.json", cwd=tmp_path).stdout == ""
    assert command("key", "remove", "app", "--file", "keys.json", cwd=tmp_path).returncode == 2
