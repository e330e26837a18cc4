from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rerank_search.reranking.remembered_scores import Read, RememberedScores

PAIRS = [("how to join", "join the paths"), ("how", "to join the paths"), ("a", "")]


class Computing:
    """Scores a pair by its lengths, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, pairs: Sequence[tuple[str, str]], prompt: str = "") -> Read:
        self.asked += pairs
        lengths = [len(query) + len(text) for query, text in pairs]
        return Read(
            np.array(lengths, np.float32),
            np.array([length > 20 for length in lengths], np.bool_),
            np.array(lengths, np.int64) + 3,
        )


def same(found: Read, expected: Read) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("most", [0, 2, 10])
def test_what_is_remembered_is_what_was_computed(most: int) -> None:
    scores = RememberedScores(most, Computing())
    for pairs in (PAIRS, PAIRS[::-1], PAIRS[1:], []):
        same(scores.of(pairs), Computing()(pairs))


def test_a_pair_that_is_remembered_is_not_computed_again() -> None:
    compute = Computing()
    scores = RememberedScores(10, compute)
    scores.of(PAIRS[:2])
    scores.of(PAIRS)
    assert compute.asked == PAIRS


def test_the_pair_not_asked_for_the_longest_is_forgotten() -> None:
    compute = Computing()
    scores = RememberedScores(2, compute)
    for pair in (*PAIRS, PAIRS[2], PAIRS[0]):
        scores.of([pair])
    assert compute.asked == [*PAIRS, PAIRS[0]]


def test_without_room_every_pair_is_computed_each_time() -> None:
    compute = Computing()
    scores = RememberedScores(0, compute)
    scores.of(PAIRS)
    scores.of(PAIRS)
    assert compute.asked == [*PAIRS, *PAIRS]


def test_another_prompt_is_another_score() -> None:
    compute = Computing()
    scores = RememberedScores(10, compute)
    for prompt in ("", "find claims", "", "find claims"):
        scores.of(PAIRS, prompt)
    assert compute.asked == [*PAIRS, *PAIRS]
