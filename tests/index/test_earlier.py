"""Indexes written before the text analysis had a version (``analysis`` 2).

The archives were made at commit ce91777 by ``Index.create(..., encoder=None, analyzer="plain")``,
with each engine, from the texts in ``test_the_documents_are_these``.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from rerank_search import Document, Index
from rerank_search.errors import IndexFormatError

ARCHIVES = Path(__file__).parent / "earlier"

TEXTS = [
    "İstanbul is a city on the Bosphorus",
    "istanbul in winter",
    "η ΟΔΟΣ είναι μακριά",
    "μια οδος στην Ελλάδα",
    "за́мок на реке, ёлка в лесу",
    "замок и елка",
    "हिन्दी में एक वाक्य",
    "so\u00adft hyphens and a soft chair",
    "a café by the river",
    "plain words about a river and a boat",
]

FOUND = {
    "tantivy": {
        "istanbul": [("1", 2.435193)],
        "İstanbul": [("0", 1.777032)],
        "οδος": [("3", 2.228821)],
        "ΟΔΟΣ": [("2", 2.228821)],
        "замок": [("5", 2.435193)],
        "за́мок": [("4", 3.554065)],
        "हिन्दी": [("6", 3.811606)],
        "soft": [("7", 1.777032)],
        "cafe": [("8", 2.054694)],
        "river boat": [("9", 2.902359), ("8", 1.527905)],
    },
    "bm25s": {
        "istanbul": [("1", 1.106906)],
        "İstanbul": [("0", 0.807742)],
        "οδος": [("3", 1.013100)],
        "ΟΔΟΣ": [("2", 1.013100)],
        "замок": [("5", 1.106906)],
        "за́мок": [("4", 1.615484)],
        "हिन्दी": [("6", 1.732548)],
        "soft": [("7", 0.807742)],
        "cafe": [("8", 0.933952)],
        "river boat": [("9", 1.319254), ("8", 0.694502)],
    },
}
"""Results and scores of the version that wrote the indexes."""


@pytest.fixture(params=["tantivy", "bm25s"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def earlier(engine: str, tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVES / f"index-1-{engine}.tar.gz") as archive:
        archive.extractall(tmp_path / "index", filter="data")
    return tmp_path / "index"


def found(index: Index, query: str) -> list[tuple[str, float]]:
    hits = index.retriever("bm25").retrieve([query], 5)[0]
    return [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


def ids(index: Index, query: str) -> set[str]:
    return {hit.id for hit in index.retriever("bm25").retrieve([query], 5)[0]}


def test_the_documents_are_these(earlier: Path) -> None:
    with Index.open(earlier, read_only=True) as index:
        assert [index.get(str(n)).text for n in range(len(TEXTS))] == TEXTS


def test_ranks_as_the_version_that_wrote_it(earlier: Path, engine: str) -> None:
    with Index.open(earlier) as index:
        assert {query: found(index, query) for query in FOUND[engine]} == FOUND[engine]


def test_documents_added_later_are_found_by_the_same_words(earlier: Path) -> None:
    with Index.open(earlier) as index:
        index.add([Document("new", "İzmir is a city too")])
        assert (ids(index, "İzmir"), ids(index, "izmir")) == ({"new"}, set())
    with Index.open(earlier) as index:
        assert (ids(index, "İzmir"), ids(index, "izmir")) == ({"new"}, set())


def test_compacting_changes_no_words(earlier: Path) -> None:
    with Index.open(earlier) as index:
        index.delete(["9"])
        index.compact()
        assert ids(index, "istanbul") == {"1"}


def test_verify_says_what_a_rebuild_changes_and_a_rebuild_does_it(earlier: Path) -> None:
    with Index.open(earlier) as index:
        [problem] = index.verify()
        assert "index rebuild" in problem
        index.rebuild()
        assert index.verify() == []
        assert ids(index, "istanbul") == ids(index, "İstanbul") == {"0", "1"}
        assert ids(index, "οδος") == ids(index, "ΟΔΟΣ") == {"2", "3"}
        assert ids(index, "замок") == ids(index, "за́мок") == {"4", "5"}
        assert ids(index, "river boat") == {"8", "9"}


def test_a_reader_that_is_open_follows_a_rebuild(earlier: Path) -> None:
    with Index.open(earlier, read_only=True) as reader:
        assert ids(reader, "istanbul") == {"1"}
        with Index.open(earlier) as writer:
            writer.rebuild()
        assert ids(reader, "istanbul") == {"0", "1"}


def test_words_of_a_newer_version_are_refused(earlier: Path) -> None:
    state = earlier / "bm25" / "state.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"analysis": 99}))
    with pytest.raises(IndexFormatError, match=r"99.*upgrade"):
        Index.open(earlier)
