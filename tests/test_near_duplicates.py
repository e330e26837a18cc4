from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import Document, Hit, Index, Searcher
from rerank_search.near_duplicates import collapsed

TEXT = "a boat on the river goes to the sea and comes back to the harbour in the winter " * 3


def hits(*texts: str) -> list[Hit]:
    return [
        Hit(str(place), -float(place), place + 1, Document(str(place), text))
        for place, text in enumerate(texts)
    ]


def kept(*texts: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(hit.id, tuple(hit.duplicates)) for hit in collapsed(hits(*texts))]


def test_the_best_of_the_same_texts_stays_and_names_the_others() -> None:
    assert kept(TEXT, "bread", TEXT, "Bread", TEXT) == [("0", ("2", "4")), ("1", ("3",))]


def test_a_changed_word_makes_a_near_duplicate_and_another_text_does_not() -> None:
    changed = TEXT.replace("winter", "summer", 1)
    other = "the bread is in the oven of the kitchen, and the cheese is on the table"
    assert kept(TEXT, changed, other) == [("0", ("1",)), ("2", ())]


def test_a_text_inside_a_much_longer_one_stays() -> None:
    assert kept(TEXT + "bread " + "cheese apple pear kitchen oven " * 40, TEXT) == [
        ("0", ()),
        ("1", ()),
    ]


def test_texts_without_words_stay() -> None:
    assert kept("", " ", "\n") == [("0", ()), ("1", ()), ("2", ())]


def test_short_texts_are_compared_whole() -> None:
    assert kept("a", "a", "b", "a b", "b a", "a  b") == [
        ("0", ("1",)),
        ("2", ()),
        ("3", ("5",)),
        ("4", ()),
    ]


@given(st.lists(st.sampled_from([TEXT, TEXT[:100], "bread", "a b c d", ""]), max_size=8))
def test_every_hit_stays_or_is_named_once_by_a_better_one(texts) -> None:
    left = collapsed(hits(*texts))
    named = [id for hit in left for id in (hit.id, *hit.duplicates)]
    assert sorted(named) == sorted(str(place) for place in range(len(texts)))
    assert all(int(id) > int(hit.id) for hit in left for id in hit.duplicates)
    assert collapsed(left) == left


@pytest.mark.parametrize("rerank", [True, False])
def test_other_hits_take_the_places_of_duplicates(tmp_path: Path, rerank: bool) -> None:
    class Lengths:
        name = "lengths"

        def score(self, pairs):
            import numpy as np

            return np.array([len(text) for _, text in pairs], np.float32)

    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add(
            [
                Document("a", TEXT),
                Document("b", TEXT),
                Document("c", "a boat on the sea"),
                Document("d", "a boat"),
            ]
        )
        searcher = Searcher(index, Lengths())
        plain = searcher.search("boat", top_k=2, rerank=rerank)
        response = searcher.search("boat", top_k=2, rerank=rerank, collapse_duplicates=True)
    assert not any(hit.duplicates for hit in plain.hits)
    assert len(response.hits) == 2
    assert [hit.rank for hit in response.hits] == [1, 2]
    named = {id for hit in response.hits for id in (hit.id, *hit.duplicates)}
    assert {"a", "b"} <= named or not named & {"a", "b"}
    assert sum(hit.id in "ab" for hit in response.hits) <= 1
