from __future__ import annotations

import types

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.sbert import sbert_negative_values, sbert_values


class GivenScores:
    """A stand-in model for sentence-transformers: each text has a given score."""

    def __init__(self, scores):
        self._scores = scores
        self.model_card_data = types.SimpleNamespace(set_evaluation_metrics=lambda *_: None)

    def predict(self, pairs, **_):
        return np.array([self._scores[text] for _, text in pairs], dtype=np.float32)


def by_sentence_transformers(sample, scores, at_k, *, always_rerank_positives=True):
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    evaluator = CrossEncoderRerankingEvaluator(
        [{"query": "query", **sample}],
        at_k=at_k,
        always_rerank_positives=always_rerank_positives,
        write_csv=False,
    )
    return evaluator(GivenScores(scores))


def test_the_values_worked_by_hand():
    scores = {"right": 0.5, "missed": 0.9, "wrong": 0.7}

    values = sbert_values(["right", "missed"], ["wrong", "right"], scores)

    discounts = 1 / np.log2([2, 3, 4])
    ideal = discounts[0] + discounts[1]
    # All: missed, wrong, right. Base: wrong, right, missed. Retrieved: wrong, right, without the
    # missed one in the denominator.
    assert values == pytest.approx(
        {
            "map": (1 + 2 / 3) / 2,
            "mrr@10": 1.0,
            "ndcg@10": (discounts[0] + discounts[2]) / ideal,
            "base_map": (1 / 2 + 2 / 3) / 2,
            "base_mrr@10": 1 / 2,
            "base_ndcg@10": (discounts[1] + discounts[2]) / ideal,
            "retrieved_map": 1 / 2,
            "retrieved_mrr@10": 1 / 2,
            "retrieved_ndcg@10": discounts[1],
        }
    )


def test_the_base_is_0_where_no_positive_was_retrieved():
    values = sbert_values(["right"], ["wrong"], {"right": 2.0, "wrong": 1.0})

    assert (values["map"], values["base_map"], values["retrieved_map"]) == (1.0, 0.0, 0.0)


TEXTS = st.sampled_from("abcdefgh")
# Few different scores, so that many are tied.
SCORES = st.fixed_dictionaries(
    {text: st.sampled_from([-1.5, 0.0, 0.1, 0.25, 7.0]) | st.floats(-9, 9) for text in "abcdefgh"}
)


@pytest.mark.slow
@settings(deadline=None)
@given(
    positives=st.lists(TEXTS, max_size=4),
    documents=st.lists(TEXTS, min_size=2, max_size=14),
    scores=SCORES,
    at_k=st.integers(1, 12),
)
def test_equal_to_sentence_transformers_with_documents(positives, documents, scores, at_k):
    # Otherwise it crashes; the test below has that case.
    assume(len(positives) + sum(document not in positives for document in documents) > 1)
    sample = {"positive": positives, "documents": documents}
    values = sbert_values(positives, documents, scores, at_k=at_k)

    for always in (True, False):
        theirs = by_sentence_transformers(sample, scores, at_k, always_rerank_positives=always)
        for measure in ("map", f"mrr@{at_k}", f"ndcg@{at_k}"):
            ours = measure if always else f"retrieved_{measure}"
            assert values[ours] == pytest.approx(theirs[measure], abs=1e-9)
            assert values[f"base_{measure}"] == pytest.approx(theirs[f"base_{measure}"], abs=1e-9)


@settings(deadline=None)
@given(
    positives=st.lists(TEXTS, max_size=4),
    negatives=st.lists(TEXTS, min_size=1, max_size=14),
    scores=SCORES,
    at_k=st.integers(1, 12),
)
def test_equal_to_sentence_transformers_with_negatives(positives, negatives, scores, at_k):
    values = sbert_negative_values(positives, negatives, scores, at_k=at_k)

    sample = {"positive": positives, "negative": negatives}
    theirs = by_sentence_transformers(sample, scores, at_k)
    assert values == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("documents", [["a", "b"], ["a"] * 20])
def test_equal_to_sentence_transformers_where_everything_is_positive(documents):
    scores = {"a": 0.5, "b": 0.25}
    sample = {"positive": ["a", "b"], "documents": documents}

    values = sbert_values(sample["positive"], documents, scores)

    theirs = by_sentence_transformers(sample, scores, 10)
    assert {measure: values[measure] for measure in theirs} == pytest.approx(theirs, abs=1e-9)
    assert values["retrieved_map"] == values["retrieved_ndcg@10"] == 1.0


def test_scores_count_in_single_precision_as_a_model_gives_them():
    close = {"a": 1.0, "b": 1.0 + 1e-12, "c": 0.0}

    values = sbert_values(["a"], ["a", "b", "c"], close)

    theirs = by_sentence_transformers({"positive": ["a"], "documents": ["a", "b", "c"]}, close, 10)
    assert {measure: values[measure] for measure in theirs} == pytest.approx(theirs, abs=1e-9)
    assert values["map"] == 0.5


def test_a_single_relevant_document_is_in_its_ideal_order():
    values = sbert_values(["a"], ["a"], {"a": 0.5})

    assert len(values) == 9
    assert set(values.values()) == {1.0}
    with pytest.raises(ValueError, match="more than 1 document"):
        by_sentence_transformers({"positive": ["a"], "documents": ["a"]}, {"a": 0.5}, 10)


def test_a_single_positive_without_negatives_is_in_its_ideal_order():
    values = sbert_negative_values(["a"], [], {"a": 0.5}, at_k=5)

    assert values == {"map": 1.0, "mrr@5": 1.0, "ndcg@5": 1.0}


@pytest.mark.parametrize("positives", [["a"], ["a", "b"]])
def test_an_empty_list_of_documents_retrieved_nothing(positives):
    values = sbert_values(positives, [], {"a": 0.5, "b": 0.5})

    for measure in ("map", "mrr@10", "ndcg@10"):
        assert values[measure] == 1.0
        assert values[f"base_{measure}"] == values[f"retrieved_{measure}"] == 0.0


def test_a_sample_without_any_text_counts_0():
    assert set(sbert_values([], [], {}).values()) == {0.0}
    assert set(sbert_negative_values([], [], {}).values()) == {0.0}


def test_a_text_without_a_score_is_an_error():
    with pytest.raises(InvalidInputError, match="text 'b' has no score"):
        sbert_values(["a"], ["b"], {"a": 0.5})


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 1e300])
def test_a_score_that_cannot_be_ranked_is_an_error(score):
    with pytest.raises(InvalidInputError, match="text 'b' has the score"):
        sbert_values(["a"], ["b"], {"a": 0.5, "b": score})
