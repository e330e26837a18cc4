"""Indexes written when the analyzers ``code`` and ``auto`` were of version 2 (``analysis`` 3).

The archives were made at commit d0edb51 by ``Index.create(..., encoder=None, analyzer=...)`` from
the texts below.
"""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from rerank_search import Document, Index

ARCHIVES = Path(__file__).parent / "earlier"

TEXTS = {
    "code": [
        "C#10 has record structs",
        "a table maps URLsToIDs",
        "HTTPServer2 answers requests",
        "TLSv1.3 is required",
        "getURLs returns strings",
        "a server answers over HTTP",
    ],
    "auto": [
        "บ้านในเมืองเก่าตั้งอยู่ริมแม่น้ำและสร้างด้วยหิน",
        "老城的房子在河边，是用石头建造的。",
        "Die Häuser der alten Stadt stehen am Fluss und wurden aus Stein gebaut.",
        "ราคาของบ้านในเมืองใหญ่เพิ่มขึ้นทุกปี",
        *(f"第{chapter}章讲的是河流。" for chapter in range(12)),
    ],
}

FOUND = {
    "code": {
        "c#": [],
        "url": [],
        "ls": [("1", 1.347507)],
        "HTTPServer": [("5", 2.293836), ("2", 2.017962)],
        "TLS 1.3": [("3", 2.847882)],
        "getURLs": [("4", 6.424604)],
    },
    "auto": {
        "บ้านในเมือง": [("3", 9.704199), ("0", 8.111444)],
        "แม่น้ำ": [("0", 5.707222)],
        "房子": [("1", 2.212896)],
        "alte Häuser": [("2", 5.179280)],
    },
}
"""Results and scores of the version that wrote the indexes."""


@pytest.fixture(params=["code", "auto"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def earlier(name: str, tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVES / f"index-2-{name}.tar.gz") as archive:
        archive.extractall(tmp_path / "index", filter="data")
    return tmp_path / "index"


def found(index: Index, query: str) -> list[tuple[str, float]]:
    [hits] = index.retriever("bm25").retrieve([query], 5)
    return [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


def test_it_ranks_as_the_version_that_wrote_it(earlier: Path, name: str) -> None:
    with Index.open(earlier) as index:
        assert [index.get(str(place)).text for place in range(len(TEXTS[name]))] == TEXTS[name]
        assert {query: found(index, query) for query in FOUND[name]} == FOUND[name]


def test_what_is_added_later_has_the_same_terms(earlier: Path, name: str) -> None:
    with Index.open(earlier) as index:
        index.add([Document(f"copy of {place}", text) for place, text in enumerate(TEXTS[name])])
    with Index.open(earlier) as index:
        for query, expected in FOUND[name].items():
            again = [f"copy of {id}" for id, _ in expected]
            assert {id for id, _ in found(index, query)} == {*again, *(id for id, _ in expected)}


def test_verify_says_what_a_rebuild_changes_and_a_rebuild_does_it(earlier: Path, name: str) -> None:
    with Index.open(earlier) as index:
        [problem] = index.verify()
        assert (repr(name) in problem, "index rebuild" in problem) == (True, True)
        before = {query: found(index, query) for query in FOUND[name]}
        index.rebuild()
        assert index.verify() == []
        assert {query: found(index, query) for query in FOUND[name]} != before


@pytest.mark.parametrize(("analyzer", "version"), [("english", 2), ("de", 2), ("code", 3)])
def test_a_new_index_records_the_version_of_its_analyzer(
    tmp_path: Path, analyzer: str, version: int
) -> None:
    """So that an earlier release of this package opens it if it can."""
    with Index.create(tmp_path / "new", encoder=None, analyzer=analyzer):
        state = json.loads((tmp_path / "new" / "bm25" / "state.json").read_text())
    assert state["analysis"] == version
