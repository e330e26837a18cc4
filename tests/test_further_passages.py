from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rerank_search import Document, Hit, Index, InvalidInputError, RerankError, Searcher
from rerank_search.index import Passages
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.hit_text import passage

PARTS = [
    "A boat on the river goes to the sea. The boat is small and old.",
    "The bread is in the oven of the kitchen. The cheese is on the bread.",
    "A train is in the station. The engine of the train is a long machine.",
    "The boat is in the harbour. A boat on the sea has a long bridge.",
]
LONG = Document("long", " ".join(PARTS), "trip")
DOCUMENTS = [LONG, Document("short", "A boat in the harbour."), Document("other", "A violin song.")]
QUERY = "a boat on the sea"


class Failing:
    """A reranker that fails from its second call on."""

    name = "failing"

    def __init__(self) -> None:
        self.calls = 0

    def score(self, pairs):
        self.calls += 1
        if self.calls > 1:
            raise ConnectionError("the service is down")
        return np.zeros(len(pairs), np.float32)


@pytest.fixture(scope="module")
def index(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("passages") / "index"
    split = Passages(tokens=24, overlap=0)
    with Index.create(path, encoder=str(tiny_encoder), passages=split) as index:
        index.add(DOCUMENTS)
        yield index


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


def found(response, id: str) -> Hit:
    return next(hit for hit in response.hits if hit.id == id)


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
@pytest.mark.parametrize("rerank", [True, False])
def test_the_ranking_is_the_same_and_each_hit_has_its_own_passage(index, reranker, stage, rerank):
    searcher = Searcher(index, reranker)
    one = searcher.search(QUERY, first_stage=stage, rerank=rerank)
    three = searcher.search(QUERY, first_stage=stage, rerank=rerank, passages_per_document=3)
    assert [(hit.id, hit.score, hit.span) for hit in one.hits] == [
        (hit.id, hit.score, hit.span) for hit in three.hits
    ]
    for hit in three.hits:
        spans = [each.span for each in hit.passages]
        assert hit.span in spans
        assert len(set(spans)) == len(spans) <= 3
        scores = [each.score for each in hit.passages]
        assert scores == sorted(scores, reverse=True)
        assert {type(score) for score in scores} == {float}
        for each in hit.passages:
            assert each.text == hit.document.text[slice(*(each.span or (0, None)))]
    assert len(found(three, "long").passages) == 3
    assert [hit.passages for hit in one.hits] == [()] * len(one.hits)


def test_a_passage_has_the_score_that_the_reranker_gives_it(index, reranker):
    hit = found(Searcher(index, reranker).search(QUERY, passages_per_document=9), "long")
    spans = [each.span for each in hit.passages]
    pairs = [(QUERY, passage(Hit("long", 0.0, 1, LONG, span=span))) for span in spans]
    np.testing.assert_allclose(
        [each.score for each in hit.passages], reranker.score(pairs), atol=1e-5
    )
    assert len(spans) > 3


def test_words_alone_find_only_passages_that_have_one(index):
    searcher = Searcher(index, reranker=None)
    response = searcher.search("boat", first_stage="bm25", passages_per_document=9)
    passages = found(response, "long").passages
    assert 1 < len(passages) < 6
    assert all("boat" in each.text for each in passages)
    own = found(response, "long")
    assert max(each.score for each in passages) == own.score


def test_passages_fused_into_the_final_score_have_it_too(index, reranker):
    from rerank_search import Fusion
    from rerank_search.reranking.fusion import Weights

    fusion = Fusion([Weights(0.5, {"rerank": 0.1, "dense": 1.0, "bm25": 0.2})])
    searcher = Searcher(index, reranker, fusion=fusion)
    hit = found(searcher.search(QUERY, passages_per_document=2), "long")
    own = next(each for each in hit.passages if each.span == hit.span)
    assert own.score == hit.score == hit.stage_scores["fused"]


def test_a_budget_that_is_used_up_leaves_the_own_passages(index, reranker, when_called):
    fetched: list[object] = []
    with when_called(Index.passages, fetched.append):
        response = Searcher(index, reranker).search(QUERY, passages_per_document=3, budget_ms=1e-3)
    assert "no time was left" in response.degraded
    assert len(response.hits) > 1
    for hit in response.hits:
        [own] = hit.passages
        assert (own.span, own.score, own.text) == (hit.span, hit.score, hit.text)
    assert fetched == []


def test_a_reranker_that_fails_at_the_passages_follows_the_policy(index):
    with pytest.raises(RerankError, match="the service is down"):
        Searcher(index, Failing()).search(QUERY, passages_per_document=3)
    searcher = Searcher(index, Failing(), on_rerank_error="first_stage")
    response = searcher.search(QUERY, passages_per_document=3)
    assert response.reranked
    assert [len(hit.passages) for hit in response.hits] == [1] * len(response.hits)


def test_passages_below_the_least_relevance_are_left_out(index, reranker, make_calibration):
    calibrated = Searcher(index, reranker, fusion=None, calibration=make_calibration())
    every = found(calibrated.search(QUERY, passages_per_document=9), "long")
    chances = sorted(each.relevance for each in every.passages)
    least = (chances[0] + every.relevance) / 2
    assert chances[0] < least <= every.relevance
    some = calibrated.search(QUERY, passages_per_document=9, min_relevance=least)
    assert all(each.relevance >= least for hit in some.hits for each in hit.passages)
    assert 0 < len(found(some, "long").passages) < len(every.passages)


def test_many_queries_have_the_passages_of_each(index, reranker):
    searcher = Searcher(index, reranker)
    queries = [QUERY, "", "the bread of the kitchen"]
    together = searcher.search_batch(queries, passages_per_document=3)
    for query, response in zip(queries, together, strict=True):
        alone = searcher.search(query, passages_per_document=3)
        assert [hit.passages for hit in response.hits] == [hit.passages for hit in alone.hits]


def test_a_searchable_that_knows_no_passages_is_named(index, reranker):
    class Whole:
        name = "whole"

        def retrieve(self, queries, k, *, filter=None):
            return [[Hit("a", 1.0, 1, Document("a", "a boat"))] for _ in queries]

    searcher = Searcher(Whole(), reranker)
    assert searcher.search(QUERY).hits
    with pytest.raises(InvalidInputError, match="passages_per_document needs an index"):
        searcher.search(QUERY, passages_per_document=2)


@pytest.mark.parametrize("value", [0, 101, "2", True, 1.0])
def test_a_number_of_passages_out_of_bounds_is_refused(index, value):
    with pytest.raises(InvalidInputError, match="passages_per_document"):
        Searcher(index, reranker=None).search(QUERY, passages_per_document=value)
