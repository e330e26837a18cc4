"""A real server in a thread: tiny models, an index on disk, requests over a socket."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.retrieval.base import TextEncoder
from rerank_search.serving.app import Routes, create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service
from rerank_search.serving.traces import Traces
from tests import warm
from tests.waiting import until
from tests.warm import Warm

NOTES = [
    Document("join", "join two paths", "Paths", {"module": "os", "year": 2020}),
    Document("shell", "run a shell command", "", {"module": "subprocess", "year": 2021}),
    Document("split", "split a path into two parts", "", {"module": "os", "year": 2022}),
    Document("bread", "bread and cheese for the kitchen", "", {"module": "food"}),
]


@dataclass(frozen=True, slots=True)
class Running:
    """A running server, and what it serves."""

    client: httpx2.Client
    service: Service
    home: Path
    url: str
    end: Callable[[], None]
    """Has the server end once its requests are answered."""

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
    traces: Traces | None = None,
    further: Sequence[Routes] = (),
    encoders: Sequence[TextEncoder] = (),
    cors_origins: Sequence[str] = (),
    lenient: bool = False,
) -> Iterator[Running]:
    indexes = Indexes(home, {}, all_of_home=True)
    service = Service(indexes, rerankers, limits or Limits(), encoders=encoders, traces=traces)
    config = uvicorn.Config(
        create_app(
            service,
            keys=keys,
            hosts=hosts,
            further=further,
            cors_origins=cors_origins,
            lenient=lenient,
        ),
        port=0,
        log_config=None,
        lifespan="on",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()

    def end() -> None:
        server.should_exit = True

    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(base_url=url, timeout=60) as client:
            yield Running(client, service, home, url, end)
    finally:
        end()
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
    """A server with the index "notes" and a tiny reranker, without keys; tests only read."""
    with running(make_home(tmp_path_factory.mktemp("home"), tiny_encoder), [reranker]) as found:
        yield found


@pytest.fixture(scope="module")
def small(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, reranker: CrossEncoderReranker
) -> Iterator[Running]:
    """A server with low limits."""
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


@dataclass(frozen=True, slots=True)
class Process:
    """A running process of `rerank-search serve`."""

    process: Warm
    url: str

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log, without earlier output."""
        said = self.process.said().splitlines()
        return [json.loads(line) for line in said if line[:1] == "{"]


@contextmanager
def process_serving(home: Path, *arguments: str, **environment: str) -> Iterator[Process]:
    process = warm.start(
        warm.COMMAND_LINE,
        *("serve", "--port", "0", *arguments),
        output=home.parent / "log",
        folder=home.parent,
        environment={"RERANK_SEARCH_HOME": str(home), **environment},
    )
    try:
        yield Process(process, _announced(process))
    finally:
        process.kill()
        process.wait()


def _announced(process: Warm) -> str:
    """The URL that the server says it listens at, once it does."""

    def said() -> re.Match[str] | None:
        return re.search(r"Serving .* at (http://\S+)", process.said())

    until(lambda: not process.running or ((match := said()) and _answers(match[1])))
    match = said()
    assert match is not None, f"the server did not start: {process.said()}"
    return match[1]


def _answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health/ready", timeout=10).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Starts the command as a process, for a home, with arguments and variables."""
    return process_serving


Serve = Callable[..., Any]


@pytest.fixture
def serve(tmp_path: Path, tiny_encoder: Path, reranker: CrossEncoderReranker) -> Serve:
    """Starts a server with given limits, keys or rerankers; None is no reranker."""
    home = make_home(tmp_path, tiny_encoder)

    def start(*rerankers: Any, **options: Any) -> Any:
        given = [each for each in rerankers if each is not None]
        return running(home, given if rerankers else [reranker], **options)

    return start
