"""A real server in a thread: tiny models, an index on disk, requests over a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service

NOTES = [
    Document("join", "join two paths", "Paths", {"module": "os", "year": 2020}),
    Document("shell", "run a shell command", "", {"module": "subprocess", "year": 2021}),
    Document("split", "split a path into two parts", "", {"module": "os", "year": 2022}),
    Document("bread", "bread and cheese for the kitchen", "", {"module": "food"}),
]


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers, and what it serves."""

    client: httpx2.Client
    service: Service
    home: Path
    url: str

    def post(self, path: str, body: Any, **headers: str) -> httpx2.Response:
        return self.client.post(path, json=body, headers=headers)


@contextmanager
def running(
    home: Path,
    rerankers: list[Any],
    *,
    limits: Limits | None = None,
    keys: KeyFile | None = None,
    hosts: frozenset[str] | None = None,
) -> Iterator[Running]:
    service = Service(Indexes(home, {}, all_of_home=True), rerankers, limits or Limits())
    config = uvicorn.Config(
        create_app(service, keys=keys, hosts=hosts), port=0, log_config=None, lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=url, timeout=60) as client:
            yield Running(client, service, home, url)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker)


def make_home(folder: Path, encoder: Path) -> Path:
    with Index.create(folder / "notes", encoder=str(encoder)) as index:
        index.add(NOTES)
    return folder


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, reranker: CrossEncoderReranker
) -> Iterator[Running]:
    """Serves the index "notes" and a tiny reranker, to everyone; tests only read."""
    with running(make_home(tmp_path_factory.mktemp("home"), tiny_encoder), [reranker]) as found:
        yield found


@pytest.fixture(scope="module")
def small(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, reranker: CrossEncoderReranker
) -> Iterator[Running]:
    """A server with limits that are soon reached."""
    limits = Limits(
        documents=3,
        document_characters=100,
        query_characters=50,
        queries=2,
        top_k=20,
        candidates=30,
        json_levels=8,
    )
    home = make_home(tmp_path_factory.mktemp("home"), tiny_encoder)
    with running(home, [reranker], limits=limits) as found:
        yield found


@pytest.fixture
def fresh(tmp_path: Path, tiny_encoder: Path, reranker: CrossEncoderReranker) -> Iterator[Running]:
    """The same, for tests that write."""
    with running(make_home(tmp_path, tiny_encoder), [reranker]) as found:
        yield found


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path, tiny_encoder: Path, reranker: CrossEncoderReranker) -> Serve:
    """Starts a server with limits, keys or rerankers of one's own; None is no reranker."""
    home = make_home(tmp_path, tiny_encoder)

    def start(*rerankers: Any, **options: Any) -> Any:
        given = [each for each in rerankers if each is not None]
        return running(home, given if rerankers else [reranker], **options)

    return start
