from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search import Document, Fusion, Hit, Index, Searcher, SearchResponse
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.reranking.base import Scores
from rerank_search.reranking.calibration import Isotonic
from rerank_search.reranking.fusion import Weights

HUGE = "word\n" * 200_000
DOCUMENT = Document("a", "One sentence. Another one.", "Title", {"year": 1})


def response(hits: int) -> SearchResponse:
    found = [
        Hit(HUGE, 1.0, rank, Document(HUGE, HUGE, HUGE, {HUGE: HUGE}), {"bm25": 1.0})
        for rank in range(1, hits + 1)
    ]
    return SearchResponse(HUGE, found, "hybrid", 100, reranked=True, warnings=[HUGE] * 5)


def test_a_short_document_and_its_hit_are_shown_whole() -> None:
    assert repr(DOCUMENT) == (
        "Document(id='a', text='One sentence. Another one.', title='Title', metadata={'year': 1})"
    )
    assert "score=1.5, rank=1" in repr(Hit("a", 1.5, 1, DOCUMENT))


@pytest.mark.parametrize(
    "value",
    [
        Document(HUGE, HUGE, HUGE, {str(i): HUGE for i in range(1_000)}),
        response(1).hits[0],
        Scores(np.zeros(10**6, np.float32), np.zeros(10**6, np.bool_), [None] * 10**6),
        Isotonic(scores=list(range(5_000)), probabilities=[0.5] * 5_000),
        Fusion([Weights(0.0, {f"stage{i}": 0.5 for i in range(500)})]),
        LabelledPairs("name", "test", [(HUGE, HUGE)] * 1_000, [1] * 1_000),
        JudgedCollection(
            "name", "test", {str(i): HUGE for i in range(1_000)}, {}, None, lambda a, b: a
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_is_a_few_lines_whatever_it_holds(value: Any) -> None:
    assert len(repr(value)) < 2_000


def test_the_repr_of_a_response_fits_a_screen_with_a_line_for_each_of_the_first_hits() -> None:
    text = repr(response(1_000))
    assert len(text) < 3_000
    assert len(text.splitlines()) == 12
    assert text.endswith("and 990 more])")


def test_the_repr_of_a_searcher_names_its_index_also_when_it_is_closed(tmp_path: Path) -> None:
    with Index.create(tmp_path / "notes", encoder=None) as index:
        searcher = Searcher(index, None)
    assert repr(index) == f"Index('{tmp_path / 'notes'}', encoder=None)"
    assert repr(searcher) == f"Searcher({index!r}, None, fusion=None)"


@pytest.mark.parametrize(
    ("document", "span", "text"),
    [
        (DOCUMENT, None, DOCUMENT.text),
        (DOCUMENT, (14, 26), "Another one."),
        (DOCUMENT, (0, 0), "Title"),
        (Document("a", "", "Title"), None, "Title"),
        (Document("a", ""), None, ""),
        (None, None, None),
    ],
)
def test_the_text_of_a_hit_is_its_best_passage(document: Any, span: Any, text: str | None) -> None:
    assert Hit("a", 1.0, 1, document, span=span).text == text


@pytest.mark.parametrize("span", [None, (14, 26), (0, 26), (0, 0)])
def test_a_hit_with_its_passage_alone_has_the_same_text(span: Any) -> None:
    hit = Hit("a", 1.0, 1, DOCUMENT, span=span)
    short = hit.with_text("passage")
    assert short.text == hit.text
    assert short.with_text("passage") == short
    assert short.span == span
    assert hit.with_text("full") is hit
    assert hit.with_text("none").document == dataclasses.replace(DOCUMENT, text="")
