from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from rerank_search.errors import RerankError
from rerank_search.evaluation import score_cache
from rerank_search.evaluation.score_cache import ScoreCache
from rerank_search.reranking.cross_encoder import CrossEncoderReranker

PAIRS = [
    ("how to join", "join the paths"),
    ("how to join", "a boat on the river"),
    ("how to join", "join the paths"),
    ("how", "to join a boat on the river"),
]


class Counting:
    """A reranker that counts what it is asked, and may have a fingerprint."""

    name = "counting"

    def __init__(self, fingerprint: str | None) -> None:
        self.asked: list[tuple[str, str]] = []
        if fingerprint is not None:
            self.fingerprint = fingerprint

    def score(self, pairs):
        self.asked += pairs
        return np.array([len(query) * 100 + len(text) for query, text in pairs], np.float32)


def test_scores_are_those_of_the_reranker_to_the_last_bit(tmp_path, tiny_reranker):
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")
    expected = reranker.score_with_report([(q, t * 40) for q, t in PAIRS])

    for _ in range(2):
        found = ScoreCache(tmp_path, reranker).scored([(q, t * 40) for q, t in PAIRS])
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
        np.testing.assert_array_equal(found.truncated, expected.truncated)
        assert expected.truncated.any()


def test_a_pair_is_scored_once_by_a_model_in_whatever_run(tmp_path):
    first, second = Counting("a"), Counting("a")
    ScoreCache(tmp_path, first).scored(PAIRS)
    cache = ScoreCache(tmp_path, second)
    values = cache.scored([*PAIRS, ("new", "pair")]).values

    assert len(first.asked) == 3
    assert second.asked == [("new", "pair")]
    assert values.tolist() == [1114, 1119, 1114, 327, 304]
    assert (cache.asked, cache.computed) == (5, 1)


def test_scores_of_another_model_are_not_taken(tmp_path):
    ScoreCache(tmp_path, Counting("a")).scored(PAIRS)
    other = Counting("b")
    ScoreCache(tmp_path, other).scored(PAIRS)
    assert len(other.asked) == 3


def test_query_and_text_are_told_apart(tmp_path):
    cache = ScoreCache(tmp_path, Counting("a"))
    values = cache.scored([("ab", "c"), ("a", "bc")]).values
    assert values.tolist() == [201, 102]


def test_a_reranker_without_a_fingerprint_is_asked_each_time(tmp_path):
    reranker = Counting(None)
    cache = ScoreCache(tmp_path, reranker)
    cache.scored(PAIRS)
    cache.scored(PAIRS)
    cache.close()
    assert len(reranker.asked) == 6
    assert list(tmp_path.iterdir()) == []


def test_progress_adds_up_to_all_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(score_cache, "PAIRS_AT_ONCE", 2)
    cache = ScoreCache(tmp_path, Counting("a"))
    ticks: list[int] = []
    cache.scored(PAIRS, ticks.append)
    assert sum(ticks) == len(PAIRS)
    assert len(ticks) == 3


def test_what_was_scored_before_a_failure_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(score_cache, "PAIRS_AT_ONCE", 1)

    class Dying(Counting):
        def score(self, pairs):
            if len(self.asked) == 2:
                raise MemoryError
            return super().score(pairs)

    with pytest.raises(RerankError, match="counting"):
        ScoreCache(tmp_path, Dying("a")).scored(PAIRS)
    rest = Counting("a")
    ScoreCache(tmp_path, rest).scored(PAIRS)
    assert len(rest.asked) == 1


def test_two_processes_may_fill_one_cache(tmp_path: Path):
    one, other = ScoreCache(tmp_path, Counting("a")), ScoreCache(tmp_path, Counting("a"))
    one.scored(PAIRS[:2])
    other.scored(PAIRS)
    one.scored(PAIRS)
    assert (one.computed, other.computed) == (2, 1)
    one.close()
    other.close()
    [path] = tmp_path.glob("*.sqlite")
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM scores").fetchone() == (3,)
