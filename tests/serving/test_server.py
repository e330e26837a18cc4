from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import httpx2
import pytest

from rerank_search import Index
from rerank_search.serving.server import Server
from tests.waiting import until


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
        # 0 if the tests themselves were started with SIGINT ignored, as in the background.
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
        server.process.signal(ending)
        for writer in writers:
            writer.join()
        status = server.process.wait(40)
    assert status in expected
    with Index.open(home / "notes") as index:
        assert not [id for id in acknowledged if id not in index]
        assert index.verify() == []


def test_small_answers_are_sent_at_once():
    with Server("127.0.0.1", 0) as server:
        # asyncio then switches off Nagle's algorithm for connections.
        assert server.socket.proto == socket.IPPROTO_TCP
