"""A real server in a thread, with an index without vectors and a tiny reranker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.serving.app import create_app
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.keys import KeyFile
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service
from tests import served as serving

LONG = " ".join(["the river and the sea.", "join the paths of a file."] * 300)
NOTES = [
    Document("join", "join the paths of files", "Paths", {"kind": "path", "year": 2020}),
    Document("split", "split the path into parts", "", {"kind": "path"}),
    Document("long", LONG, "A long one", {"kind": "file", "tags": ["x", "ü"]}),
    Document("bread", "the bread is in the oven", "bread", {"ratio": 0.5}),
    Document("boat", "a boat on the river to the sea"),
]


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and what it serves."""

    url: str
    home: Path
    server: serving.Server

    @property
    def connections(self) -> int:
        """Number of connections that the server has open."""
        return len(self.server.server_state.connections)


@contextmanager
def served(
    home: Path,
    rerankers: list[Any],
    *,
    keys: KeyFile | None = None,
    limits: Limits | None = None,
) -> Iterator[Served]:
    service = Service(Indexes(home, {}, all_of_home=True), rerankers, limits or Limits())
    with serving.served(create_app(service, keys=keys)) as server:
        yield Served(server.url, home, server)


@pytest.fixture(scope="package")
def notes_server(tiny_reranker: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of NOTES, as the index ``notes``; tests only read it."""
    home = tmp_path_factory.mktemp("notes")
    with Index.create(home / "notes", encoder=None) as index:
        index.add(NOTES)
    with served(home, [CrossEncoderReranker(tiny_reranker, device="cpu")]) as running:
        yield running
