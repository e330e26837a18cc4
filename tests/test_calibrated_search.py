"""Searches that say how likely each hit is relevant."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from rerank_search import Document, Fusion, Index, InvalidInputError, Searcher
from rerank_search.reranking.calibration import (
    Calibration,
    Calibrations,
    FittedOn,
    HeldOut,
    Isotonic,
    Platt,
    Quality,
)
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import Weights

TEXTS = ["join the paths", "the path of a file", "a path to the sea", "split the path", "sea paths"]
WEIGHTS = Weights(-1.0, {"rerank": 0.5, "bm25:z": 0.7})
FUSION = Fusion([WEIGHTS])
CURVE = Platt(slope=2.0, intercept=-0.5)


def calibration(curve=CURVE, fusion=None):
    of = FittedOn(
        model="tiny",
        collection="small",
        split="dev",
        first_stage="bm25",
        candidates=5,
        queries=2,
        documents=10,
        relevant=0.5,
    )
    quality = Quality(ece=0.1, brier=0.1)
    return Calibration(
        fusion=fusion,
        curve=curve,
        fitted_on=of,
        held_out=HeldOut(folds=2, before=quality, after=quality),
    )


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory):
    with Index.create(tmp_path_factory.mktemp("search") / "index", encoder=None) as index:
        index.add([Document(str(i), text) for i, text in enumerate(TEXTS)])
        yield index


@pytest.fixture(scope="module")
def reranker(tiny_reranker: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_reranker, device="cpu")


def order(response):
    return [(hit.id, hit.score) for hit in response.hits]


@pytest.mark.parametrize("fusion", [None, FUSION])
def test_each_hit_has_the_probability_of_its_score(index, reranker, fusion):
    fitted = calibration(fusion=None if fusion is None else WEIGHTS)
    hits = Searcher(index, reranker, fusion=fusion, calibration=fitted).search("path").hits
    assert len(hits) >= 3
    expected = fitted.probability([hit.score for hit in hits])
    np.testing.assert_allclose([hit.relevance for hit in hits], expected)
    assert [hit.relevance for hit in hits] == sorted(expected, reverse=True)


@pytest.mark.parametrize(
    "curve",
    [CURVE, Platt(slope=0.0, intercept=0.0), Isotonic(scores=[0.0], probabilities=[0.25])],
)
def test_a_calibration_never_changes_a_ranking(index, reranker, curve):
    plain = Searcher(index, reranker, calibration=None)
    calibrated = Searcher(index, reranker, calibration=calibration(curve))
    for query in ("path", "the sea", "join paths"):
        assert order(calibrated.search(query)) == order(plain.search(query))


def test_auto_takes_the_rerankers_own_where_it_is_of_the_score(index, tiny_reranker, tmp_path):
    shutil.copytree(tiny_reranker, tmp_path / "model")
    FUSION.save(tmp_path / "model")
    calibration(fusion=WEIGHTS).save(tmp_path / "model")
    own = CrossEncoderReranker(tmp_path / "model", device="cpu")

    def known(**arguments):
        hits = Searcher(index, own, **arguments).search("path").hits
        return {hit.relevance is not None for hit in hits}

    assert known() == {True}
    assert known(calibration=None) == {False}
    assert known(fusion=None) == {False}
    fitted_again = Fusion([Weights(-1.0, {"rerank": 0.6, "bm25:z": 0.7})])
    assert known(fusion=fitted_again) == {False}


def test_without_a_calibration_or_a_second_stage_nothing_is_said_of_relevance(index, reranker):
    assert {hit.relevance for hit in Searcher(index, reranker).search("path").hits} == {None}
    searcher = Searcher(index, reranker, calibration=calibration())
    assert {hit.relevance for hit in searcher.search("path", rerank=False).hits} == {None}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"calibration": calibration(fusion=WEIGHTS)}, "for another score"),
        ({"calibration": calibration(), "fusion": FUSION}, "for another score"),
        ({"calibration": "none"}, "calibration='none' is unknown"),
    ],
)
def test_a_calibration_that_was_given_and_cannot_be_used_is_an_error(
    index, reranker, arguments, reason
):
    with pytest.raises(InvalidInputError, match=reason):
        Searcher(index, reranker, **arguments)


def test_hits_below_the_least_relevance_are_left_out(index, reranker):
    searcher = Searcher(index, reranker, calibration=calibration())
    every = searcher.search("path").hits
    least = every[1].relevance
    assert [hit.id for hit in searcher.search("path", min_relevance=least).hits] == [
        hit.id for hit in every if hit.relevance >= least
    ]
    assert len(searcher.search("path", min_relevance=least, top_k=1).hits) == 1
    assert searcher.search("path", min_relevance=1.0).hits == []


def test_ranks_of_the_first_stage_are_of_all_candidates_whatever_is_left_out(index, reranker):
    searcher = Searcher(index, reranker, calibration=calibration())
    [everything] = searcher.explain_batch(["path"])
    least = everything.response.hits[1].relevance
    [explained] = searcher.explain_batch(["path"], min_relevance=least, top_k=1)
    first_stage = index.retriever("bm25").retrieve(["path"], 100)[0]
    assert len(first_stage) > len(explained.response.hits) == 1
    for one in (everything, explained):
        assert [(hit.id, hit.score) for hit in one.first_stage_hits] == [
            (hit.id, hit.score) for hit in first_stage
        ]
        assert one.first_stage_ranks == {hit.id: hit.rank for hit in first_stage}


def test_an_explained_response_is_that_of_a_search(index, reranker):
    searcher = Searcher(index, reranker, calibration=calibration())
    queries = ["path", "", "nothing like it"]
    explained = searcher.explain_batch(queries, top_k=2)
    assert [order(each.response) for each in explained] == [
        order(response) for response in searcher.search_batch(queries, top_k=2)
    ]
    assert [len(each.first_stage_hits) for each in explained][1:] == [0, 0]


def test_what_was_not_reranked_has_no_known_relevance(index, reranker):
    searcher = Searcher(index, reranker, calibration=calibration())
    response = searcher.search("path", min_relevance=0.0, budget_ms=1e-6)
    assert not response.reranked
    assert response.degraded
    assert response.hits == []


@pytest.mark.parametrize(
    ("fitted", "options", "reason"),
    [
        (calibration(), {"min_relevance": 1.5}, "min_relevance=1.5 must be at most 1"),
        (
            calibration(),
            {"min_relevance": 0.5, "rerank": False},
            "rerank=False and min_relevance=0.5 exclude",
        ),
        (None, {"min_relevance": 0.5}, "needs a calibrated reranker"),
    ],
)
def test_a_least_relevance_that_cannot_be_used_is_an_error(
    index, reranker, fitted, options, reason
):
    searcher = Searcher(index, reranker, calibration=fitted)
    with pytest.raises(InvalidInputError, match=reason):
        searcher.search("path", **options)


def test_of_several_calibrations_a_search_shows_the_one_of_its_score(index, reranker):
    logit, fused = calibration(), calibration(Platt(slope=1.0, intercept=0.5), WEIGHTS)
    several = Calibrations(calibrations=[logit, fused])
    for fusion, fitting in ((None, logit), (FUSION, fused)):
        hits = Searcher(index, reranker, fusion=fusion, calibration=several).search("path").hits
        expected = fitting.probability([hit.score for hit in hits])
        np.testing.assert_allclose([hit.relevance for hit in hits], expected)


def test_calibrations_that_are_all_of_other_scores_are_an_error(index, reranker):
    others = Calibrations(calibrations=[calibration(fusion=WEIGHTS)])
    with pytest.raises(InvalidInputError, match="for another score"):
        Searcher(index, reranker, calibration=others)
