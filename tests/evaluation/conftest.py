"""A small judged collection with words that the tiny models know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerank_search.corpora.definition import IndexSettings
from rerank_search.index import Index
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.formats.beir import load_beir

DOCUMENTS = {
    "join": ("paths", "join the paths of files with a path"),
    "split": ("paths", "split the path into a folder and a file"),
    "read": ("", "read the lines of a text file"),
    "write": ("", "write the lines to a file and close the file"),
    "bread": ("bread", "the bread is in the oven of the kitchen"),
    "boat": ("", "a boat on the river to the sea"),
    "violin": ("music", "a violin and a song"),
    "tower": ("", "the old bridge and the tower of the city"),
    # Longer than the tiny encoder's window: one of its passages is found.
    "story": ("story", "The king of the village is old. " * 12 + "The queen is in the garden."),
}
QUERIES = {
    "q1": "how to join the paths of a file",
    "q2": "read the lines",
    "q3": "music song",
    "q4": "the queen in the garden",
}
QRELS = [
    ("q1", "join", 2),
    ("q1", "split", 1),
    ("q1", "boat", 0),
    ("q2", "read", 1),
    ("q2", "tower", 1),
    ("q3", "violin", 1),
    ("q4", "story", 1),
]


def write_beir(folder: Path, *, split: str = "test") -> Path:
    """The collection as a BEIR folder."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = [{"_id": id, "title": a, "text": b} for id, (a, b) in DOCUMENTS.items()]
    queries = [{"_id": id, "text": text} for id, text in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    lines = "".join(f"{q}\t{d}\t{g}\n" for q, d, g in [("query-id", "corpus-id", "score"), *QRELS])
    (folder / "qrels" / f"{split}.tsv").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """The collection, as a BEIR folder of this test's own."""
    return write_beir(tmp_path / "small")


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> JudgedCollection:
    """The collection, loaded."""
    return load_beir(write_beir(tmp_path_factory.mktemp("collections") / "small"), "test")


@pytest.fixture(scope="session")
def index(
    collection: JudgedCollection, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Index]:
    """The index of the collection, with all first stages."""
    assert collection.documents is not None
    folder = tmp_path_factory.mktemp("indexes")
    settings = IndexSettings(encoder=str(tiny_encoder))
    found, _ = open_corpus_index("small", collection.documents, settings, folder)
    with found:
        yield found
