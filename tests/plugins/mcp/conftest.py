"""A service with two indexes without vectors and a tiny reranker, and clients of MCP servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.limits import Limits
from rerank_search.serving.service import Service

ODD = {"module": "os", "draft": None, "tags": ["é", None, {"a": 1.5}]}
NOTES = [
    Document("join", "join two paths", "Paths", {"module": "os", "year": 2020}),
    Document("shell", "run a shell command", "", {"url": "https://example.com/shell"}),
    Document("a/b ?%#é\u200d日本\n../", "split a path into two parts", "", ODD),
]
WIKI = [
    Document("..", "bread is baked in the oven", "Bread"),
    Document("paths", "a path joins two villages", "", {"source": "maps/paths.md"}),
]


def make_home(folder: Path) -> Path:
    """A folder with the indexes ``notes`` and ``wiki``."""
    for name, documents in (("notes", NOTES), ("wiki", WIKI)):
        with Index.create(folder / name, encoder=None) as index:
            index.add(documents)
    return folder


@pytest.fixture(scope="session")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The indexes, for tests that only read."""
    return make_home(tmp_path_factory.mktemp("mcp"))


@pytest.fixture(scope="session")
def service(home: Path, reranker: CrossEncoderReranker) -> Iterator[Service]:
    """The service, for tests that only read."""
    made = Service(Indexes(home, {}, all_of_home=True), [reranker], Limits())
    yield made
    made.close()


@pytest.fixture
def serve(tmp_path: Path, reranker: CrossEncoderReranker) -> Iterator[Callable[..., Service]]:
    """Makes services with indexes of their own, with given limits or rerankers."""
    made: list[Service] = []

    def start(*rerankers: Any, limits: Limits | None = None) -> Service:
        home = make_home(tmp_path / str(len(made)))
        indexes = Indexes(home, {}, all_of_home=True)
        made.append(Service(indexes, rerankers or [reranker], limits or Limits()))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def answer() -> Callable[[Any], Any]:
    """The answer of a tool, which is the same as structured content and as its one text."""

    def read(result: Any) -> Any:
        [item] = result.content
        assert not result.is_error, item.text
        assert item.type == "text"
        assert json.loads(item.text) == result.structured_content
        return result.structured_content

    return read


@pytest.fixture(scope="session")
def problem() -> Callable[[Any], str]:
    """The message of a tool's error."""

    def read(result: Any) -> str:
        [item] = result.content
        assert result.is_error, item.text
        return str(item.text)

    return read
