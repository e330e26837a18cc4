from __future__ import annotations

import numpy as np
import pytest

from rerank_search import Fusion, Hit, InvalidInputError
from rerank_search.evaluation.protocols import reordered
from rerank_search.reranking.final_score import FinalScore
from rerank_search.reranking.fusion import Weights

BOTH = Weights(1.0, {"rerank": 1.0, "bm25": 2.0, "dense": 3.0})
WORDS = Weights(5.0, {"rerank": 1.0, "bm25": 10.0})
FUSION = Fusion([BOTH, WORDS])
HITS = [
    Hit("a", 3.0, 1, stage_scores={"bm25": 1.0, "dense": 0.5}),
    Hit("b", 2.0, 2, stage_scores={"bm25": 0.5}),
    Hit("c", 1.0, 3, stage_scores={"dense": 0.25}),
]
LOGITS = np.array([0.0, 1.0, 2.0], dtype=np.float32)


def test_without_a_fusion_the_final_score_is_the_logit() -> None:
    final = FinalScore(None, ["bm25"])
    assert final.scores(HITS, LOGITS) is LOGITS
    assert [hit.id for hit in final.ordered(HITS, LOGITS)] == ["c", "b", "a"]


def test_the_first_stages_of_what_is_searched_decide_which_weights_are_used() -> None:
    assert FinalScore(FUSION, ["bm25", "dense", "hybrid"]).signals == {"bm25", "dense"}
    assert FinalScore(FUSION, ["bm25"]).signals == {"bm25"}
    with pytest.raises(InvalidInputError, match="no weights"):
        FinalScore(FUSION, ["dense"])


def test_a_missing_signal_counts_zero_and_changes_no_other_hits_score() -> None:
    final = FinalScore(FUSION, ["bm25", "dense"])
    assert final.lacks_signals(HITS)
    assert final.scores(HITS, LOGITS).tolist() == [4.5, 3.0, 3.75]
    assert not final.lacks_signals(HITS[:1])
    assert final.scores(HITS[:1], LOGITS[:1]).tolist() == [4.5]


@pytest.mark.parametrize("fusion", [None, FUSION])
def test_an_evaluation_ranks_as_a_search_does(fusion: Fusion | None) -> None:
    final = FinalScore(fusion, ["bm25", "dense"])
    logits = dict(zip("abc", LOGITS.tolist(), strict=True))
    searched = [(hit.id, hit.score) for hit in final.ordered(HITS, LOGITS)]
    assert reordered(HITS, logits, final) == searched


def test_hits_without_a_logit_follow_in_their_order_with_their_differences() -> None:
    final = FinalScore(None, ["bm25"])
    ordered = final.ordered(HITS, np.array([7.0], dtype=np.float32))
    assert [(hit.id, hit.score) for hit in ordered] == [("a", 7.0), ("b", 6.0), ("c", 5.0)]
    assert ordered[0].stage_scores["rerank"] == 7.0
    assert "rerank" not in ordered[1].stage_scores
