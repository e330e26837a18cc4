from __future__ import annotations

import asyncio
import copy
from pathlib import Path

import numpy as np
import pytest

from rerank_search import InvalidInputError, ModelNotFoundError, RerankError
from rerank_search.plugins.rerankers import RankedText, TextRanker

QUERY = "how to join the paths"
TEXTS = ["bread in the oven", "join the paths", "", "join the paths", "a boat on the river"]


class Lengths:
    """A reranker that prefers long texts."""

    name = "lengths"

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def test_texts_are_ordered_by_the_logit_and_equal_ones_keep_their_order(reranker):
    best = TextRanker(reranker).ranked(QUERY, TEXTS)
    logits = reranker.score([(QUERY, text) for text in TEXTS]).tolist()
    order = sorted(range(len(TEXTS)), key=lambda position: (-logits[position], position))
    assert [each.position for each in best] == order
    assert [each.score for each in best] == pytest.approx([logits[position] for position in order])
    assert all(type(each.score) is type(each.relevance_score) is float for each in best)
    assert all(0 <= each.relevance_score <= 1 for each in best)
    assert TextRanker(reranker).ranked(QUERY, TEXTS, top_k=2) == best[:2]
    assert asyncio.run(TextRanker(reranker).aranked(QUERY, TEXTS, top_k=2)) == best[:2]


def test_the_relevance_is_calibrated_and_a_limit_may_leave_no_text(calibrated: Path):
    ranker = TextRanker(calibrated)
    best = ranker.ranked(QUERY, TEXTS)
    expected = [1 / (1 + np.exp(-(2.0 * each.score - 0.5))) for each in best]
    assert [each.relevance_score for each in best] == pytest.approx(expected, abs=1e-6)
    least = best[1].relevance_score
    kept = ranker.ranked(QUERY, TEXTS, min_relevance=least)
    assert kept == [each for each in best if each.relevance_score >= least]
    assert TextRanker(Lengths()).ranked(QUERY, TEXTS)[0] == RankedText(4, 19.0, pytest.approx(1.0))


def test_a_limit_needs_a_calibration(reranker):
    with pytest.raises(InvalidInputError, match=r"min_relevance=0\.5 needs.*calibrate"):
        TextRanker(reranker).ranked(QUERY, TEXTS, min_relevance=0.5)


def test_nothing_is_loaded_for_nothing():
    missing = TextRanker("no/model")
    assert missing.ranked(QUERY, []) == missing.ranked("  ", TEXTS) == missing.scores([]) == []
    assert asyncio.run(missing.aranked(QUERY, [])) == []
    with pytest.raises(ModelNotFoundError, match="no/model"):
        missing.ranked(QUERY, TEXTS)


def test_threads_that_ask_together_load_once(tiny_reranker: Path, in_threads):
    ranker = TextRanker(str(tiny_reranker))
    results, loaded = in_threads(lambda: ranker.ranked(QUERY, TEXTS))
    assert [[each.position for each in best] for best in results] == [
        [each.position for each in results[0]]
    ] * 32
    assert loaded == 1


def test_it_is_copied_and_written_by_name(tiny_reranker: Path):
    ranker = TextRanker(tiny_reranker)
    best = ranker.ranked(QUERY, TEXTS)
    assert copy.deepcopy(ranker).ranked(QUERY, TEXTS) == best
    assert TextRanker(**ranker.settings).ranked(QUERY, TEXTS) == best
    with pytest.raises(InvalidInputError, match=r"is an object.*name or the folder"):
        _ = TextRanker(Lengths()).settings
    assert TextRanker(Lengths()).name == "lengths"


def test_what_cannot_be_used_is_refused(reranker):
    for wrong in (5, None, object(), Lengths):
        with pytest.raises(InvalidInputError, match="reranker="):
            TextRanker(wrong)
    ranker = TextRanker(reranker)
    for arguments, message in (
        ({"top_k": 0}, "top_k=0"),
        ({"top_k": True}, "top_k=True"),
        ({"min_relevance": 2}, "at most 1"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            ranker.ranked(QUERY, TEXTS, **arguments)
    for query, texts in ((None, TEXTS), (QUERY, "text"), (QUERY, [None]), ("\ud800", TEXTS)):
        with pytest.raises(InvalidInputError):
            ranker.ranked(query, texts)


def test_an_error_of_the_reranker_is_a_rerank_error():
    class Failing:
        name = "failing"

        def score(self, pairs):
            raise ConnectionError("the service is down")

    for ask in (
        TextRanker(Failing()).ranked,
        lambda query, texts: asyncio.run(TextRanker(Failing()).aranked(query, texts)),
    ):
        with pytest.raises(RerankError, match="the service is down"):
            ask(QUERY, TEXTS)
