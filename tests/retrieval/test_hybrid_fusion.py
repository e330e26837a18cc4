from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.ranking import ranked
from rerank_search.retrieval.hybrid_fusion import (
    FUSIONS,
    LEAST_DEPTH,
    ReciprocalRankFusion,
    ScoreFusion,
    fusion_of,
    hybrid_name,
)
from rerank_search.types import Hit


def ranking(scores: dict[str, float]) -> list[Hit]:
    order = ranked((document, score, None) for document, score in scores.items())
    return [Hit(id, score, rank) for rank, (id, score, _) in enumerate(order, start=1)]


EVEN = ScoreFusion(weights=(1.0, 1.0), powers=(0.0, 0.0))


def fused(
    one: dict[str, float], other: dict[str, float], fusion: ScoreFusion = EVEN
) -> dict[str, float]:
    return fusion.fuse([ranking(one), ranking(other)])


def numbered(scores: Sequence[float], start: int = 0) -> dict[str, float]:
    return {f"{place:04}": score for place, score in enumerate(scores, start=start)}


def test_a_score_counts_as_its_excess_over_the_last_in_units_of_the_mean_excess() -> None:
    # Of the first ranking the mean excess is (4 + 2 + 0) / 3, of the second (.3 + .3 + 0) / 3.
    assert fused({"a": 5.0, "b": 3.0, "c": 1.0}, {"b": 0.9, "d": 0.9, "a": 0.6}) == pytest.approx(
        {"a": 2.0, "b": 1.0 + 1.5, "c": 0.0, "d": 1.5}
    )


def test_the_first_tenth_is_no_part_of_the_background() -> None:
    background = np.linspace(2.0, 1.0, 90).tolist()
    for best in (3.0, 30.0):
        scores = fused(numbered([best] * 10 + background), {})
        assert scores["0000"] == pytest.approx((best - 1.0) / 0.5)
        assert scores["0010"] == pytest.approx(2.0)


def test_a_stage_that_tells_documents_apart_outweighs_one_that_does_not() -> None:
    sure = {"found": 30.0, **numbered(np.linspace(3.0, 1.0, 99).tolist())}
    unsure = numbered(np.linspace(0.9, 0.8, 100).tolist(), start=500)
    scores = fused(sure, unsure)
    assert max(scores, key=scores.__getitem__) == "found"
    ranks = ReciprocalRankFusion().fuse([ranking(sure), ranking(unsure)])
    assert ranks["found"] == ranks["0500"]


def test_a_ranking_whose_best_hit_stands_out_counts_by_a_power_of_it() -> None:
    words, meaning = {"a": 3.0, "b": 2.0, "c": 1.0}, {"a": 0.1, "b": 0.1, "c": 0.4}
    even = fused(words, meaning)
    assert even == pytest.approx({"a": 2.0, "b": 1.0, "c": 3.0})
    by_chance = 1 + 1 / 2 + 1 / 3
    powers = ScoreFusion(weights=(1.0, 1.5), powers=(0.0, 2.0))
    assert fused(words, meaning, powers) == pytest.approx(
        {"a": 2.0, "b": 1.0, "c": 1.5 * 3.0 * (3.0 / by_chance) ** 2}
    )
    assert powers == ScoreFusion()


def test_as_many_weights_and_powers_as_rankings_are_needed() -> None:
    for wrong in (ScoreFusion(), ScoreFusion(weights=(1.0, 1.0, 1.0))):
        with pytest.raises(InvalidInputError, match="there are 3 rankings to fuse"):
            wrong.fuse([[], [], []])


def test_a_ranking_of_weight_0_does_not_count() -> None:
    words, meaning = {"a": 3.0, "b": 1.0}, {"b": 0.9, "a": 0.1}
    alone = ScoreFusion(weights=(1.0, 0.0))
    assert fused(words, meaning, alone) == pytest.approx({"a": 2.0, "b": 0.0})


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ({"weights": (1.0, -1.0)}, "a weight=-1 "),
        ({"weights": (1.0, float("nan"))}, "nan"),
        ({"weights": 1.5}, "weights=1.5"),
        ({"powers": (0.0, "2")}, "'2'"),
        ({"powers": (0.0, 1e9)}, r"a power=1e\+09"),
    ],
)
def test_wrong_weights_and_powers_are_named(wrong: dict[str, object], value: str) -> None:
    with pytest.raises(InvalidInputError, match=value):
        ScoreFusion(**wrong)  # type: ignore[arg-type]


def test_a_short_ranking_has_found_all_that_matches() -> None:
    words = {"name": 4.0}
    meaning = numbered(np.linspace(0.6, 0.2, 100).tolist())
    scores = fused(words, meaning)
    assert max(scores, key=scores.__getitem__) == "name"
    assert scores["name"] <= LEAST_DEPTH


def test_equal_scores_tell_nothing() -> None:
    same = np.full(100, 0.5) + np.random.default_rng(0).uniform(-1e-8, 1e-8, 100)
    words = {"0070": 2.0, "0071": 1.0}
    scores = fused(numbered(same.tolist()), words)
    assert [id for id, _, _ in ranked((id, score, None) for id, score in scores.items())][:3] == [
        "0070",
        "0071",
        "0000",
    ]
    assert fused({"a": 1.0}, {}) == {"a": 0.0}
    assert fused({"a": 0.0, "b": 0.0}, {"a": 0.0}) == {"a": 0.0, "b": 0.0}


def test_documents_below_the_best_of_every_ranking_follow_after_all_others() -> None:
    one = numbered(np.linspace(9.0, 1.0, 150).tolist())
    other = numbered(np.linspace(0.9, 0.1, 150).tolist(), start=100)
    scores = fused(one, other)
    best = {*list(one)[:100], *list(other)[:100]}
    below = (one.keys() | other.keys()) - best
    assert len(below) == 50
    assert max(scores[id] for id in below) < min(scores[id] for id in best)
    assert [scores[id] for id in sorted(below)] == sorted(
        (scores[id] for id in below), reverse=True
    )


def test_nothing_found_is_nothing_fused() -> None:
    for fusion in FUSIONS.values():
        assert fusion.fuse([[], []]) == {}


lists = st.lists(st.floats(-50, 50), min_size=2, max_size=130)


@given(lists, lists, st.floats(0.01, 100), st.floats(-100, 100))
def test_scale_and_zero_of_a_full_ranking_do_not_matter(
    one: list[float], other: list[float], scale: float, zero: float
) -> None:
    size = min(len(one), len(other))
    one, other = [round(x, 3) for x in one[:size]], [round(x, 3) for x in other[:size]]
    moved = [scale * score + zero for score in other]
    before = fused(numbered(one), numbered(other, start=size // 2), ScoreFusion())
    after = fused(numbered(one), numbered(moved, start=size // 2), ScoreFusion())
    assert after == pytest.approx(before, rel=1e-4, abs=1e-4)


@given(lists, lists, st.integers(0, 100))
def test_every_document_gets_a_finite_score_and_a_better_one_for_a_better_score(
    one: list[float], other: list[float], shift: int
) -> None:
    first, second = numbered(one), numbered(other, start=shift)
    scores = fused(first, second, ScoreFusion())
    assert scores.keys() == first.keys() | second.keys()
    assert np.isfinite(list(scores.values())).all()
    alone = ranking({id: score for id, score in first.items() if id not in second})
    values = [scores[hit.id] for hit in alone]
    assert values == sorted(values, reverse=True)


@given(lists, lists, st.integers(0, 100))
def test_a_deeper_search_keeps_the_scores_of_the_best(
    one: list[float], other: list[float], shift: int
) -> None:
    deep = [ranking(numbered(one)), ranking(numbered(other, start=shift))]
    best = ScoreFusion().fuse([hits[:LEAST_DEPTH] for hits in deep])
    everything = ScoreFusion().fuse(deep)
    assert {id: everything[id] for id in best} == best
    if others := everything.keys() - best:
        assert max(everything[id] for id in others) < min(best.values())


def test_fusions_have_names() -> None:
    assert [hybrid_name(name) for name in FUSIONS] == ["scores", "rrf"]
    assert fusion_of("rrf") == ReciprocalRankFusion()
    for wrong in ("RRF", None, 60, ["rrf"]):
        with pytest.raises(InvalidInputError, match="use one of 'scores', 'rrf'"):
            hybrid_name(wrong)


@pytest.mark.parametrize("k", [-1, float("nan"), None])
def test_a_wrong_k_is_named(k: object) -> None:
    with pytest.raises(InvalidInputError, match=str(k)):
        ReciprocalRankFusion(k=k)  # type: ignore[arg-type]
