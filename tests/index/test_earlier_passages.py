"""Passages made before sentences and words of all scripts were known stay as they are.

The archive was made at commit c4f6c00 by ``Index.create(..., encoder=None, analyzer="plain",
passages=Passages(tokens=16, overlap=4))`` from DOCUMENTS.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from rerank_search import Document, Index

ARCHIVE = Path(__file__).parent / "earlier" / "index-long-documents.tar.gz"
DOCUMENTS = [
    Document("zh", "船在河上航行。" * 30, "boat"),
    Document("hi", "नाव नदी पर चलती है। " * 12, "boat"),
    Document("th", "เรือแล่นไปตามแม่น้ำ " * 12, "boat"),
    Document("en", "The boat is on the river. " * 12, "boat"),
]
SPANS = {"zh": (0, 42), "hi": (224, 239), "th": (0, 19), "en": (0, 25)}
"""Spans of the best passages in the version that wrote the index."""


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path / "index", filter="data")
    return tmp_path / "index"


def spans(index: Index) -> dict[str, tuple[int, int] | None]:
    [hits] = index.retriever("bm25").retrieve(["boat"], 9)
    return {hit.id: hit.span for hit in hits}


def test_passages_stay_as_they_are(earlier: Path) -> None:
    with Index.open(earlier) as index:
        assert spans(index) == SPANS
        assert index.verify() == []
        assert index.add(DOCUMENTS) == 0
        index.rebuild()
        assert spans(index) == SPANS
        assert index.verify() == []


def test_documents_added_later_are_split_by_the_new_rules(earlier: Path) -> None:
    with Index.open(earlier) as index:
        index.delete([document.id for document in DOCUMENTS])
        index.add(DOCUMENTS)
        assert spans(index) == {"zh": (0, 7), "hi": (0, 39), "th": (0, 39), "en": (0, 25)}
