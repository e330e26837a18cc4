from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.bm25 import Bm25Index
from rerank_search.retrieval.stage import Stage
from rerank_search.types import Filter, Span

Place = tuple[str, Span | None]


class Places:
    """A catalogue of passages: document and span of each, and the documents that a filter names."""

    def __init__(self, places: Mapping[int, Place], *, splits: bool = True) -> None:
        self._places = places
        self.splits = splits

    def allowed(self, filter: Filter) -> NDArray[np.int64]:
        ids = [id for id, (document, _) in self._places.items() if document in filter["documents"]]
        return np.array(sorted(ids), np.int64)

    def locate(self, passages: NDArray[np.int64]) -> list[Place | None]:
        return [self._places.get(int(passage)) for passage in passages]


def stage(directory: Path, texts: Sequence[str], places: Sequence[Place | None]) -> Stage:
    engine = Bm25Index(directory)
    engine.update(1, [Passage(id, text) for id, text in enumerate(texts)], [])
    return Stage(
        "bm25", lambda: engine, Places({i: p for i, p in enumerate(places) if p is not None})
    )


def test_a_document_has_the_score_and_the_span_of_its_best_passage(tmp_path: Path) -> None:
    found = stage(
        tmp_path,
        ["a tree", "fish fish", "fish and a tree", "fish in the river that runs"],
        [("a", (0, 6)), ("a", (7, 16)), ("b", None), ("a", (17, 40))],
    )
    [[first, second]] = found.retrieve(["fish"], 5)
    assert (first.id, first.rank, first.span) == ("a", 1, (7, 16))
    assert (second.id, second.rank, second.span) == ("b", 2, None)
    assert first.stage_scores == {"bm25": first.score}
    assert first.document is None


def test_k_documents_come_though_one_has_many_passages(tmp_path: Path) -> None:
    texts = ["fish fish"] * 50 + ["fish tree"] * 3
    places = [("a", (i, i + 1)) for i in range(50)] + [(name, None) for name in "bcd"]
    [hits] = stage(tmp_path, texts, places).retrieve(["fish"], 3)
    assert [hit.id for hit in hits] == ["a", "b", "c"]
    assert hits[0].span == (0, 1)


def test_passages_of_documents_that_are_gone_take_no_place(tmp_path: Path) -> None:
    texts = ["fish fish"] * 20 + ["fish tree"]
    [hits] = stage(tmp_path, texts, [None] * 20 + [("kept", None)]).retrieve(["fish"], 1)
    assert [hit.id for hit in hits] == ["kept"]


def test_an_unusable_query_is_no_damaged_index(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="surrogate"):
        stage(tmp_path, ["fish"], [("a", None)]).retrieve(["bad \ud800"], 1)


def test_equal_scores_are_ordered_by_document_id_wherever_they_are_cut(tmp_path: Path) -> None:
    names = [f"d{(i * 7) % 30:02}" for i in range(30)]
    found = stage(tmp_path, ["red fish"] * 30, [(name, None) for name in names])
    for k in (1, 4, 29, 100):
        [hits] = found.retrieve(["fish"], k)
        assert [hit.id for hit in hits] == sorted(names)[:k]
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_a_filter_restricts_and_an_empty_one_does_not(tmp_path: Path) -> None:
    found = stage(tmp_path, ["fish"] * 3, [(name, None) for name in "abc"])
    for filter, expected in (({"documents": "bc"}, "bc"), ({"documents": ""}, ""), ({}, "abc")):
        [hits] = found.retrieve(["fish"], 5, filter=filter)
        assert "".join(hit.id for hit in hits) == expected


def test_no_queries_and_empty_queries_have_empty_answers(tmp_path: Path) -> None:
    found = stage(tmp_path, ["fish"], [("a", None)])
    assert found.retrieve([], 5) == []
    assert found.retrieve(["", "?"], 5) == [[], []]
    with pytest.raises(InvalidInputError, match="k=0 must be at least 1"):
        found.retrieve(["fish"], 0)


WORDS = ["red", "fish", "tree"]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
            st.sampled_from("abcdef"),
        ),
        max_size=20,
    ),
    st.integers(1, 4),
    st.permutations(range(20)),
)
def test_the_ranking_does_not_depend_on_the_order_of_insertion(
    tmp_path_factory: pytest.TempPathFactory,
    owned: list[tuple[str, str]],
    k: int,
    order: list[int],
) -> None:
    rankings = []
    for some in (owned, [owned[i] for i in order if i < len(owned)]):
        directory = tmp_path_factory.mktemp("stage")
        found = stage(directory, [text for text, _ in some], [(name, None) for _, name in some])
        [hits] = found.retrieve(["red fish"], k)
        rankings.append([(hit.id, hit.rank) for hit in hits])
    assert rankings[0] == rankings[1]
