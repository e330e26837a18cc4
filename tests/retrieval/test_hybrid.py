from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.ranking import ranked
from rerank_search.retrieval.hybrid import Hybrid
from rerank_search.retrieval.hybrid_fusion import ReciprocalRankFusion
from rerank_search.retrieval.memory import MemoryRetriever
from rerank_search.types import Filter, Hit, Span


class Fixed:
    """A first stage that ranks the same documents for every query."""

    def __init__(
        self, name: str, scores: Mapping[str, float], spans: Mapping[str, Span] | None = None
    ) -> None:
        self.name = name
        order = ranked((document, score, None) for document, score in scores.items())
        self._hits = [
            Hit(id, score, rank, None, {name: score}, (spans or {}).get(id))
            for rank, (id, score, _) in enumerate(order, start=1)
        ]

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        return [self._hits[:k] for _ in queries]


BM25 = Fixed("bm25", {"a": 9.0, "b": 7.0, "c": 5.0})
DENSE = Fixed("dense", {"c": 0.8, "d": 0.6, "a": 0.4})


def test_reciprocal_ranks_are_added_up() -> None:
    [hits] = Hybrid([BM25, DENSE]).retrieve(["q"], 10)
    scores = {hit.id: hit.score for hit in hits}
    assert scores == pytest.approx(
        {"a": 1 / 61 + 1 / 63, "c": 1 / 63 + 1 / 61, "b": 1 / 62, "d": 1 / 62}
    )
    assert [hit.id for hit in hits] == ["a", "c", "b", "d"]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4]


def test_every_hit_says_where_its_score_comes_from() -> None:
    [[first, *_, last]] = Hybrid([BM25, DENSE]).retrieve(["q"], 10)
    assert first.stage_scores == {"bm25": 9.0, "dense": 0.4, "hybrid": first.score}
    assert last.stage_scores == {"dense": 0.6, "hybrid": last.score}


def test_the_span_is_that_of_the_stage_that_ranks_the_document_best() -> None:
    bm25 = Fixed("bm25", {"a": 2.0, "b": 1.0}, {"a": (0, 5), "b": (1, 2)})
    dense = Fixed("dense", {"b": 0.9, "a": 0.1}, {"a": (3, 4), "b": (7, 9)})
    [hits] = Hybrid([bm25, dense]).retrieve(["q"], 10)
    assert {hit.id: hit.span for hit in hits} == {"a": (0, 5), "b": (7, 9)}


class BestRank:
    """A fusion of a user's own."""

    def fuse(self, rankings: Sequence[Sequence[Hit]]) -> dict[str, float]:
        scores: dict[str, float] = {}
        for hit in (hit for ranking in rankings for hit in ranking):
            scores[hit.id] = max(scores.get(hit.id, 0.0), 1 / hit.rank)
        return scores


def test_another_fusion_can_be_given() -> None:
    [hits] = Hybrid([BM25, DENSE], fusion=BestRank()).retrieve(["q"], 10)
    assert [(hit.id, hit.score) for hit in hits][:2] == [("a", 1.0), ("c", 1.0)]
    assert all(hit.stage_scores["hybrid"] == hit.score for hit in hits)


def test_a_fusion_can_be_named() -> None:
    named = Hybrid([BM25, DENSE], fusion="rrf").retrieve(["q"], 10)
    assert named == Hybrid([BM25, DENSE]).retrieve(["q"], 10)
    [hits] = Hybrid([BM25, DENSE], fusion="scores").retrieve(["q"], 10)
    assert [hit.id for hit in hits] == ["c", "a", "d", "b"]
    with pytest.raises(InvalidInputError, match="1 rankings to fuse"):
        Hybrid([BM25], fusion="scores").retrieve(["q"], 1)


def test_stages_are_asked_deeper_than_k() -> None:
    memory = MemoryRetriever([f"fish number {i}" for i in range(300)])
    stages = [memory, Fixed("dense", {"150": 1.0})]  # "150" is the 59th of 300 equal texts
    for depth, best in ((5, "0"), (None, "150")):
        [hits] = Hybrid(stages, depth=depth).retrieve(["fish"], 1)
        assert [hit.id for hit in hits] == [best]


def test_no_matches_are_an_empty_ranking() -> None:
    memory = MemoryRetriever(["fish"])
    assert Hybrid([memory, memory]).retrieve(["", "tree"], 5) == [[], []]
    assert Hybrid([memory]).retrieve([], 5) == []


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        (lambda: Hybrid([]), "stages is empty"),
        (lambda: Hybrid([BM25]).retrieve(["q"], 0), "k=0 must be at least 1"),
        (lambda: Hybrid([BM25]).retrieve(["q"], 1.5), "k=1.5"),
        (lambda: Hybrid([BM25], depth=0), "depth=0"),
        (lambda: Hybrid([object()]), "no method retrieve"),
        (lambda: Hybrid([BM25], fusion=ReciprocalRankFusion), "no method fuse"),
        (lambda: Hybrid([BM25], fusion="ranks"), "'ranks' is unknown: use one of 'scores', 'rrf'"),
        (lambda: Hybrid([BM25], fusion=None), "None has no method fuse"),
    ],
)
def test_wrong_arguments_are_named(wrong: object, value: str) -> None:
    with pytest.raises(InvalidInputError, match=value):
        wrong()  # type: ignore[operator]


scores_of_documents = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 50), max_size=8)


@given(scores_of_documents, scores_of_documents, st.integers(1, 10))
def test_hits_are_the_best_of_the_union_in_the_total_order(
    first: dict[str, float], second: dict[str, float], k: int
) -> None:
    stages = [Fixed("bm25", first), Fixed("dense", second)]
    for fusion in ("rrf", "scores", BestRank()):
        [hits] = Hybrid(stages, fusion=fusion).retrieve(["q"], k)
        [everything] = Hybrid(stages, fusion=fusion).retrieve(["q"], 100)
        assert hits == everything[:k]
        assert {hit.id for hit in everything} == first.keys() | second.keys()
        assert everything == sorted(everything, key=lambda hit: (-hit.score, hit.id))
