"""An index says where the words stand by which its BM25 finds a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerank_search import Document, Index
from rerank_search.errors import InvalidInputError
from rerank_search.index import Bm25Settings

TEXTS = [
    "Die Kinder gehen früh am Morgen über die Brücke zu den Häusern",
    "The children walk early in the morning over the bridge to the houses",
    "孩子们每天早上坐公共汽车去学校",
]


@pytest.mark.parametrize("engine", ["tantivy", "bm25s"])
@pytest.mark.parametrize(
    ("analyzer", "query", "marked"),
    [
        ("english", "house bridges", [[], ["bridge", "houses"], []]),
        ("german", "Haus", [["Häusern"], [], []]),
        ("auto", "Haus 学校", [["Häusern"], [], ["学校"]]),
        ("auto", "child", [[], [], []]),
        ("code", "early_morning", [[], ["early", "morning"], []]),
    ],
)
def test_matches(
    tmp_path: Path, engine: str, analyzer: str, query: str, marked: list[list[str]]
) -> None:
    if engine == "bm25s":
        pytest.importorskip("bm25s", reason="needs bm25s: pip install 'rerank-search[bm25s]'")
    settings = Bm25Settings(engine=engine)
    path = tmp_path / "index"
    with Index.create(path, encoder=None, analyzer=analyzer, bm25=settings) as index:
        assert index.matches(query, TEXTS) == [[], [], []]
        index.add([Document(str(place), text) for place, text in enumerate(TEXTS)])
        found = index.matches(query, TEXTS)
    parts = [
        [text[start:end] for start, end in spans] for text, spans in zip(TEXTS, found, strict=True)
    ]
    assert parts == marked


@pytest.mark.parametrize(
    ("query", "texts", "message"),
    [
        (7, ["a"], "query 0"),
        ("boat", "a boat", "one string"),
        ("boat", [None], "text 0"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_by_name(tmp_path: Path, query, texts, message) -> None:
    with (
        Index.create(tmp_path / "index", encoder=None) as index,
        pytest.raises(InvalidInputError, match=message),
    ):
        index.matches(query, texts)
