from __future__ import annotations

import numpy as np
import pytest

from rerank_search import Document, Hit, Index, Searcher, rank_texts
from rerank_search.plugins.rerankers import TextRanker
from rerank_search.reranking.fusion import Fusion, Weights
from tests.index.test_languages_of_an_index import ENGLISH, GERMAN, documents

RUSSIAN = ("Дома старого города стоят у реки, и они были построены из камня.",) * 3


class Bundled:
    """A reranker with the name and the kind of fusion of the bundled ones, that reads lengths."""

    name = "rerank-search-tiny"
    fusion = Fusion([Weights(0.0, {"rerank": 1.0}), Weights(0.0, {"rerank": 1.0, "bm25:z": 1.0})])

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], np.float32)


class Other(Bundled):
    name = "BAAI/bge-reranker-v2-m3"


class Given:
    """A retriever without an index: documents in the order in which they are given."""

    name = "given"

    def __init__(self, found: list[Document]) -> None:
        self._found = found

    def retrieve(self, queries, k, *, filter=None):
        hits = [Hit(each.id, -float(rank), rank, each) for rank, each in enumerate(self._found, 1)]
        return [hits[:k] for _ in queries]


def test_german_texts_keep_the_order_of_a_retriever_that_has_no_other_score() -> None:
    retriever = Given(documents(GERMAN, 30))
    response = Searcher(retriever, Bundled()).search("Brücke")
    assert [hit.id for hit in response.hits[:3]] == ["d0", "d1", "d2"]
    assert not response.reranked
    assert response.degraded is not None
    assert "another language (de)" in response.degraded
    assert "fusion=None" in response.degraded


@pytest.mark.parametrize(
    "searcher",
    [
        Searcher(Given(documents(GERMAN, 30)), Bundled(), fusion=None),
        Searcher(Given(documents(GERMAN, 30)), Bundled(), fusion=Bundled.fusion),
        Searcher(Given(documents(GERMAN, 30)), Other()),
        Searcher(Given(documents(ENGLISH, 30)), Bundled()),
        Searcher(Given(documents([*ENGLISH, *ENGLISH, *GERMAN], 30)), Bundled()),
        Searcher(Given(documents(["4711", "0815"], 30)), Bundled()),
    ],
    ids=["no fusion", "a given fusion", "another model", "English", "mixed", "numbers"],
)
def test_others_are_reranked(searcher: Searcher) -> None:
    response = searcher.search("Brücke")
    assert response.reranked
    assert response.degraded is None


class Named(Other):
    """A reranker of that name; each test that expects a warning needs another one."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_ranked_texts_are_warned_about_once_for_a_reranker_and_a_language(caplog) -> None:
    reranker = Named("cross-encoder/ms-marco-MiniLM-L6-v2")
    for texts in (ENGLISH, GERMAN, GERMAN, RUSSIAN):
        assert len(rank_texts("Brücke", texts, reranker=reranker)) == len(texts)
    assert [f"language ({code})" in caplog.text for code in ("en", "de", "ru")] == [0, 1, 1]
    assert caplog.text.count("made for English") == 2


@pytest.mark.parametrize(
    ("name", "rank"),
    [
        ("ettin-reranker-17m-v1", lambda ranker: ranker.ranked("Brücke", GERMAN)),
        ("ettin-reranker-150m-v1", lambda ranker: ranker.scores([("Brücke", GERMAN[0])])),
    ],
)
def test_rerankers_of_other_frameworks_warn_too(caplog, name, rank) -> None:
    rank(TextRanker(Named(name)))
    assert "language (de)" in caplog.text


def test_a_reranker_that_is_not_known_to_be_english_is_not_warned_about(caplog) -> None:
    for name in ("BAAI/bge-reranker-v2-m3", "my-own"):
        rank_texts("Brücke", GERMAN, reranker=Named(name))
    assert caplog.text == ""


def test_german_texts_of_an_index_are_reranked_because_bm25_is_weighed_too(tmp_path) -> None:
    with Index.create(tmp_path / "index", encoder=None, analyzer="german") as index:
        index.add(documents(GERMAN, 3))
        response = Searcher(index, Bundled()).search("Brücke")
    assert response.reranked
    assert response.degraded is None
