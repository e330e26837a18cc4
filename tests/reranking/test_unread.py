from __future__ import annotations

import numpy as np
import pytest

from rerank_search import Document, Hit, Index, Searcher
from rerank_search.reranking.fusion import Fusion, Weights
from tests.index.test_languages_of_an_index import ENGLISH, GERMAN, documents


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


def test_german_texts_of_an_index_are_reranked_because_bm25_is_weighed_too(tmp_path) -> None:
    with Index.create(tmp_path / "index", encoder=None, analyzer="german") as index:
        index.add(documents(GERMAN, 3))
        response = Searcher(index, Bundled()).search("Brücke")
    assert response.reranked
    assert response.degraded is None
