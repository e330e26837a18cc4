from __future__ import annotations

import numpy as np
import pytest

from rerank_search.errors import InvalidInputError, RerankError
from rerank_search.reranking.calls import FIRST_CHUNK, scored, scored_in_time

PAIRS = [("query", "x" * 95)] * 50


class Counting:
    """A reranker that scores by length, and moves a clock by a fixed time per pair."""

    name = "counting"

    def __init__(self, milliseconds: float = 0.0) -> None:
        self.now = 0.0
        self.chunks: list[int] = []
        self._milliseconds = milliseconds

    def score(self, pairs):
        self.now += len(pairs) * self._milliseconds / 1000
        self.chunks.append(len(pairs))
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


class Broken:
    name = "broken"

    def __init__(self, result) -> None:
        self._result = result

    def score(self, pairs):
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def _in_time(milliseconds_per_pair: float, budget: float):
    reranker = Counting(milliseconds_per_pair)
    return scored_in_time(reranker, PAIRS, budget, lambda: reranker.now), reranker


def test_an_instruction_reaches_a_reranker_that_takes_one():
    class Told(Counting):
        takes_instructions = True

        def score(self, pairs, *, instruction=None):
            return super().score(pairs) + len(instruction or "")

    pairs = [("q", "abc"), ("q", "")]
    assert scored(Told(), pairs).values.tolist() == [3.0, 0.0]
    assert scored(Told(), pairs, instruction="of cheese").values.tolist() == [12.0, 9.0]
    told = Told()
    in_time = scored_in_time(told, pairs, 1_000, lambda: told.now, instruction="of cheese")
    assert in_time.values.tolist() == [12.0, 9.0]


def test_any_other_reranker_is_given_none():
    with pytest.raises(InvalidInputError, match="the reranker 'counting' takes no instruction"):
        scored(Counting(), PAIRS, instruction="of cheese")
    with pytest.raises(InvalidInputError, match="instruction='' is blank"):
        scored(Counting(), PAIRS, instruction="")


def test_a_plain_reranker_reports_nothing_cut():
    scores = scored(Counting(), [("q", "abc"), ("q", "")])

    assert scores.values.tolist() == [3.0, 0.0]
    assert scores.truncated.tolist() == [False, False]
    assert scores.spans == [None, None]


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (ConnectionError("gone"), "ConnectionError: gone.*on_rerank_error"),
        (InvalidInputError("name a reranker"), "^the reranker 'broken' failed: name a reranker$"),
        (np.zeros(3, np.float32), "shape"),
        (np.zeros((2, 1), np.float32), "shape"),
        (np.array([1.0, float("nan")]), "NaN"),
        (None, "failed|shape"),
        (["a", "b"], "ValueError"),
    ],
)
def test_whatever_goes_wrong_in_a_reranker_is_a_rerank_error(result, reason):
    with pytest.raises(RerankError, match=reason):
        scored(Broken(result), [("q", "a"), ("q", "b")])


def test_max_passage_needs_a_reranker_that_can_do_it():
    with pytest.raises(InvalidInputError, match="score_with_report"):
        scored(Counting(), [("q", "a")], long_documents="max_passage")


def test_a_generous_budget_scores_all():
    scores, _ = _in_time(1.0, 10_000)
    assert len(scores.values) == len(PAIRS)


def test_a_budget_scores_the_first_pairs_and_is_kept():
    scores, reranker = _in_time(2.0, 60)

    assert 20 <= len(scores.values) <= 30
    assert reranker.now <= 0.060
    assert reranker.chunks[0] == FIRST_CHUNK
    assert len(reranker.chunks) < 8


def test_the_first_chunk_is_scored_however_small_the_budget():
    scores, reranker = _in_time(100.0, 1)
    assert len(scores.values) == FIRST_CHUNK
    assert reranker.chunks == [FIRST_CHUNK]


def test_nothing_is_scored_when_no_time_is_left():
    scores, reranker = _in_time(1.0, -3)
    assert scores.values.shape == (0,)
    assert reranker.chunks == []


def test_no_pairs_take_no_call():
    reranker = Counting()
    assert scored_in_time(reranker, [], 100, lambda: 0.0).values.shape == (0,)
    assert reranker.chunks == []


def test_an_unknown_way_with_long_documents_is_no_failure_of_the_reranker():
    with pytest.raises(InvalidInputError, match="'skip'"):
        scored(Counting(), [("q", "a")], long_documents="skip")
