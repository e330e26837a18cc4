"""A real server in a thread: tiny models, an index on disk, requests over a socket."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.retrieval.base import TextEncoder
from rerank_search.serving.app import Routes, create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service
from rerank_search.serving.traces import Traces
from tests import warm
from tests.served import served
from tests.waiting import until
from tests.warm import Warm

NOTES = [
    Document("join", "join two paths", "Paths", {"module": "os", "year": 2020}),
    Document("shell", "run a shell command", "", {"module": "subprocess", "year": 2021}),
    Document("split", "split a path into two parts", "", {"module": "os", "year": 2022}),
    Document("bread", "bread and cheese for the kitchen", "", {"module": "food"}),
]


NO_TLS = False
"""For clients of http:// addresses, which would read all certificates: as slow as a request."""


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
    stores: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    indexes = Indexes(home, {}, all_of_home=True, stores=stores)
    service = Service(indexes, rerankers, limits or Limits(), encoders=encoders, traces=traces)
    app = create_app(
        service,
        keys=keys,
        hosts=hosts,
        further=further,
        cors_origins=cors_origins,
        lenient=lenient,
    )
    with (
        served(app) as server,
        httpx2.Client(base_url=server.url, timeout=60, verify=NO_TLS) as client,
    ):
        yield Running(client, service, home, server.url, server.end)


@pytest.fixture(scope="session")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker)


@pytest.fixture(scope="session")
def notes(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an index of NOTES; tests only read or copy it."""
    folder = tmp_path_factory.mktemp("home") / "notes"
    with Index.create(folder, encoder=str(tiny_encoder)) as index:
        index.add(NOTES)
    return folder


@pytest.fixture
def home(notes: Path, tmp_path: Path) -> Path:
    """A folder with a copy of that index, for tests that write."""
    shutil.copytree(notes, tmp_path / "notes")
    return tmp_path


@pytest.fixture(scope="module")
def server(notes: Path, reranker: CrossEncoderReranker) -> Iterator[Running]:
    """A server with the index "notes" and a tiny reranker, without keys; tests only read."""
    with running(notes.parent, [reranker]) as found:
        yield found


@pytest.fixture(scope="module")
def small(
    notes: Path, tmp_path_factory: pytest.TempPathFactory, reranker: CrossEncoderReranker
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
    home = tmp_path_factory.mktemp("small")
    shutil.copytree(notes, home / "notes")
    with running(home, [reranker], limits=limits) as found:
        yield found


@pytest.fixture
def fresh(home: Path, reranker: CrossEncoderReranker) -> Iterator[Running]:
    """The same, for tests that write."""
    with running(home, [reranker]) as found:
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

    with httpx2.Client(timeout=10, verify=NO_TLS) as client:
        until(lambda: not process.running or ((match := said()) and _answers(client, match[1])))
    match = said()
    assert match is not None, f"the server did not start: {process.said()}"
    return match[1]


def _answers(client: httpx2.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health/ready").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Starts the command as a process, for a home, with arguments and variables."""
    return process_serving


Serve = Callable[..., Any]


@pytest.fixture
def serve(home: Path, reranker: CrossEncoderReranker) -> Serve:
    """Starts a server with given limits, keys or rerankers; None is no reranker."""

    def start(*rerankers: Any, **options: Any) -> Any:
        given = [each for each in rerankers if each is not None]
        return running(home, given if rerankers else [reranker], **options)

    return start
