from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError, RerankError
from rerank_search.index import Index
from rerank_search.models.beginnings import completed
from rerank_search.reranking.cascade import Cascade
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.searcher import Searcher
from rerank_search.types import Document


class Known:
    """A reranker whose score is the number at a place in the text."""

    def __init__(self, place: int) -> None:
        self.name = f"number {place}"
        self.place = place
        self.seen: list[str] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.seen += [text for _, text in pairs]
        return np.array([float(text.split()[self.place]) for _, text in pairs], dtype=np.float32)


def test_the_best_of_each_query_are_scored_by_the_next():
    fast, slow = Known(0), Known(1)
    pairs = [("q", "1 7"), ("q", "3 -9"), ("p", "8 0"), ("q", "2 5"), ("q", "-4 99")]
    values = Cascade([fast, slow], keep=[2]).score(pairs)
    assert slow.seen == ["3 -9", "2 5", "8 0"]
    # 1 and -4 of the fast one follow below -9, still five apart.
    np.testing.assert_array_equal(values, [-10, -9, 0, 5, -15])
    assert values.dtype == np.float32


def test_three_in_a_row():
    pairs = [("q", f"{i} {-i} {i % 3}") for i in range(8)]
    values = Cascade([Known(0), Known(1), Known(2)], keep=[6, 3]).score(pairs)
    # The first keeps 2..7, the second the lowest of them: 2, 3, 4. These score 2, 0, 1.
    assert np.argsort(-values).tolist() == [2, 4, 3, 5, 6, 7, 1, 0]


def test_everything_kept_is_the_last_alone_and_nothing_is_nothing():
    pairs = [("q", "1 7"), ("q", "3 -9"), ("p", "8 0")]
    np.testing.assert_array_equal(Cascade([Known(0), Known(1)], keep=[9]).score(pairs), [7, -9, 0])
    assert Cascade([Known(0), Known(1)], keep=[9]).score([]).shape == (0,)


@given(
    numbers=st.lists(
        st.tuples(st.integers(0, 2), st.integers(-9, 9), st.integers(-9, 9)), max_size=20
    ),
    keep=st.integers(1, 5),
)
def test_a_list_is_sorted_as_if_by_hand(numbers, keep):
    pairs = [(str(query), f"{fast} {slow} {i}") for i, (query, fast, slow) in enumerate(numbers)]
    values = Cascade([Known(0), Known(1)], keep=[keep]).score(pairs)
    for query in {query for query, _ in pairs}:
        own = [i for i, pair in enumerate(pairs) if pair[0] == query]
        fast = sorted(own, key=lambda i: -numbers[i][1])
        expected = sorted(fast[:keep], key=lambda i: (-numbers[i][2], i)) + fast[keep:]
        assert sorted(own, key=lambda i: -values[i]) == expected


def test_real_models_searched_with(tiny_reranker):
    reranker = CrossEncoderReranker(tiny_reranker, device="cpu")
    pairs = [("a river", f"the {noun}") for noun in ("river", "sea", "bread", "oven")]
    cascade = Cascade([reranker, str(tiny_reranker)], keep=[2])
    logits = reranker.score(pairs)
    assert np.argsort(-cascade.score(pairs)).tolist() == np.argsort(-logits).tolist()
    assert cascade.name == f"{tiny_reranker} > {tiny_reranker}"


@pytest.mark.parametrize(("max_length", "times"), [(None, 1), (12, 2)])
def test_texts_are_tokenised_once_where_the_windows_are_the_same(
    tiny_reranker, when_called, max_length, times
):
    tokenised: list[str] = []
    first = CrossEncoderReranker(tiny_reranker, device="cpu", max_length=max_length)
    last = CrossEncoderReranker(tiny_reranker, device="cpu")
    pairs = [("a river", "the river " * 20), ("a river", "the sea")]
    cascade = Cascade([first, last], keep=[2])
    with when_called(completed, lambda given: tokenised.append(given["text"])):
        scores = cascade.score(pairs)
    assert [tokenised.count(text) for _, text in pairs] == [times, times]
    alone = CrossEncoderReranker(tiny_reranker, device="cpu").score(pairs)
    np.testing.assert_array_equal(scores, alone)


def test_texts_are_not_shared_by_tokenizers_that_differ(tiny_reranker, tmp_path):
    other = Path(shutil.copytree(tiny_reranker, tmp_path / "other"))
    state = json.loads((other / "tokenizer.json").read_text())
    words = state["model"]["vocab"]
    words["river"], words["bread"] = words["bread"], words["river"]
    (other / "tokenizer.json").write_text(json.dumps(state))
    alone, first, last = (
        CrossEncoderReranker(each, device="cpu") for each in (other, tiny_reranker, other)
    )
    pairs = [("the boat", "a river"), ("the boat", "bread"), ("the boat", "river and bread")]
    expected = alone.score(pairs)
    assert not np.allclose(expected, first.score(pairs))
    np.testing.assert_array_equal(Cascade([first, last], keep=[3]).score(pairs), expected)


@pytest.mark.parametrize(
    ("count", "keep", "named"),
    [
        (1, [], "two or more"),
        (2, [], "two or more"),
        (2, [0], r"keep\[0\]=0 must be at least 1"),
        (2, [3, 2], "two or more"),
        (3, [5], "two or more"),
        (0, [], "two or more"),
    ],
)
def test_numbers_to_keep_that_do_not_fit_are_an_error(count, keep, named):
    with pytest.raises(InvalidInputError, match=named):
        Cascade([Known(0)] * count, keep=keep)


@pytest.mark.parametrize(
    ("rerankers", "keep", "named"),
    [
        ("rerank-search-tiny", [3], "one string: give a list of rerankers"),
        ([Known(0), Known(1)], 3, "keep=3 is not a list"),
        ([Known(0), Known(1)], [1.5], "1.5 is not a whole number"),
        ([Known(0), Known(1)], [True], "True is not a whole number"),
        ([Known(0), object()], [1], r"has no method score\(pairs\)"),
        ([Known(0), Known], [1], "Known is a class"),
    ],
)
def test_arguments_of_other_kinds_are_an_error(rerankers, keep, named):
    with pytest.raises(InvalidInputError, match=named):
        Cascade(rerankers, keep=keep)


def test_the_numbers_to_keep_may_be_numpys():
    pairs = [("q", f"{number} {-number}") for number in range(5)]
    np.testing.assert_array_equal(
        Cascade((Known(0), Known(1)), keep=np.array([2])).score(pairs),
        Cascade([Known(0), Known(1)], keep=[2]).score(pairs),
    )


def test_a_stage_that_fails_is_named():
    with pytest.raises(RerankError, match="number 1"):
        Cascade([Known(0), Known(1)], keep=[1]).score([("q", "5")])


def test_a_time_budget_is_refused_for_what_needs_the_whole_list(tmp_path):
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document(id="a", text="1 2")])
        searcher = Searcher(index, Cascade([Known(0), Known(1)], keep=[1]))
        assert [hit.score for hit in searcher.search("1").hits] == [2.0]
        with pytest.raises(InvalidInputError, match="budget_ms=50 cannot be used with a cascade"):
            searcher.search("1", budget_ms=50)


def test_what_is_no_list_of_pairs_is_refused() -> None:
    cascade = Cascade([Known(0), Known(1)], keep=[1])
    with pytest.raises(InvalidInputError, match="give a list of"):
        cascade.score(5)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"pair 0 is .*: give a query and a text"):
        cascade.score([("query", "text", "more")])  # type: ignore[list-item]
