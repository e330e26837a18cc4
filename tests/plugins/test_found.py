from __future__ import annotations

from rerank_search.plugins.found import readable, scores
from rerank_search.types import Document, Hit, SearchResponse


def response(*hits: tuple[float, float | None]) -> SearchResponse:
    found = [Hit(str(i), score, i, relevance=chance) for i, (score, chance) in enumerate(hits, 1)]
    return SearchResponse("q", found, "bm25", len(found), reranked=True)


def test_scores_are_probabilities_only_if_every_hit_has_one():
    assert scores(response((2.0, 0.9), (-3.0, 0.1))) == [0.9, 0.1]
    # The second one was not reranked in time: its score is not a probability.
    assert scores(response((-2.0, 0.1), (-3.0, None))) == [-2.0, -3.0]
    assert scores(response((7.0, None))) == [7.0]
    assert scores(response()) == []


def test_a_document_without_text_has_its_title_to_read():
    assert readable(Document("a", "", "The title")).text == "The title"
    assert readable(Document("a", "text", "The title")).text == "text"
    assert readable(Document("a", "")).text == ""
    assert readable(Document("a", "", "The title"), "none").text == ""
