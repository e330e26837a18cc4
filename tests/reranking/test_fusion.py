from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.fusion import FUSION_FILE, Fusion, Weights

FULL = Weights(-1.0, {"rerank": 0.5, "dense:z": 0.25, "bm25:z": 0.1})
ALONE = Weights(0.5, {"rerank": 2.0})


def _queries(count: int = 40, seed: int = 3):
    """Candidates whose reranker and cosine scores are useful, and whose BM25 scores are random."""
    random = np.random.default_rng(seed)
    queries, labels = [], []
    for _ in range(count):
        relevant = (random.random(20) < 0.3).astype(int)
        queries.append(
            {
                "rerank": 2.0 * relevant + random.normal(size=20),
                "dense": 0.5 + 0.1 * relevant + 0.1 * random.normal(size=20),
                "bm25": 10 + 5 * random.random(20),
            }
        )
        labels.append(relevant)
    return queries, labels


def test_score_is_the_weighted_sum_of_terms_worked_by_hand():
    scores = Fusion([FULL]).score({"rerank": [2.0, 0.0], "dense": [0.9, 0.5], "bm25": [3.0, 3.0]})

    # z-scores of two different values are +1 and -1, of two equal ones 0.
    np.testing.assert_allclose(scores, [-1 + 1 + 0.25, -1 + 0 - 0.25])


def test_one_candidate_is_scored_without_its_z_scores():
    fusion = Fusion([FULL])
    np.testing.assert_allclose(
        fusion.score({"rerank": [2.0], "dense": [0.9], "bm25": [7.0]}), [-1 + 1]
    )
    assert fusion.score({"rerank": [], "dense": [], "bm25": []}).shape == (0,)


def test_the_weights_with_the_most_signals_at_hand_are_used():
    fusion = Fusion([ALONE, FULL])

    assert fusion.choose(["rerank", "dense", "bm25"]) == FULL
    assert fusion.choose(["rerank", "dense"]) == ALONE
    assert fusion.signals == {"rerank", "dense", "bm25"}
    with pytest.raises(InvalidInputError, match="no weights for the signals"):
        fusion.choose(["dense"])


def test_fit_finds_what_is_informative_and_serves_every_subset():
    queries, labels = _queries()
    fusion = Fusion.fit(queries, labels)

    assert {frozenset(model.signals) for model in fusion.models} == {
        frozenset({"rerank"}),
        frozenset({"rerank", "dense"}),
        frozenset({"rerank", "bm25"}),
        frozenset({"rerank", "dense", "bm25"}),
    }
    full = fusion.choose(["rerank", "dense", "bm25"]).weights
    assert full["rerank"] > 1
    assert full["dense:z"] > 0.5
    assert abs(full["bm25:z"]) < 0.3


def test_fit_reaches_the_maximum_of_the_penalised_likelihood():
    queries, labels = _queries()
    l2 = 3.0
    weights = Fusion.fit(queries, labels, terms=["rerank"], l2=l2).choose(["rerank"])
    x = np.concatenate([query["rerank"] for query in queries])
    y = np.concatenate(labels)

    def loss(intercept: float, slope: float) -> float:
        log_odds = intercept + slope * x
        likelihood = np.sum(np.logaddexp(0, log_odds) - y * log_odds)
        return float(likelihood + l2 / 2 * (slope * x.std()) ** 2)

    slope, least = weights.weights["rerank"], loss(weights.intercept, weights.weights["rerank"])
    for step in (0.01, -0.01):
        assert loss(weights.intercept + step, slope) > least
        assert loss(weights.intercept, slope + step) > least


def test_probabilities_are_calibrated_on_the_fitted_queries():
    queries, labels = _queries()
    fusion = Fusion.fit(queries, labels)
    probability = np.concatenate([fusion.probability(fusion.score(q)) for q in queries])

    assert probability.mean() == pytest.approx(np.concatenate(labels).mean(), abs=1e-6)


def test_fit_of_classes_that_separate_stays_finite():
    fusion = Fusion.fit([{"rerank": [-2.0, -1.0, 1.0, 2.0]}], [[0, 0, 1, 1]], terms=["rerank"])
    assert np.isfinite(fusion.score({"rerank": [-100.0, 100.0]})).all()


@pytest.mark.parametrize("labels", [[[0, 0]], [[1, 1]], [[0, 2]], [[0, 1, 1]]])
def test_fit_refuses_labels_it_cannot_learn_from(labels):
    with pytest.raises(InvalidInputError, match="labels"):
        Fusion.fit([{"rerank": [1.0, 2.0]}], labels, terms=["rerank"])


@given(
    st.lists(
        st.tuples(st.floats(-20, 20), st.floats(-1, 1), st.floats(0, 50)), min_size=1, max_size=20
    ),
    st.randoms(),
)
def test_order_is_that_of_the_reranker_if_all_else_is_equal_and_ignores_input_order(rows, random):
    fusion = Fusion([FULL])
    rerank = [row[0] for row in rows]
    constant = fusion.score(
        {"rerank": rerank, "dense": [0.5] * len(rows), "bm25": [3.0] * len(rows)}
    )
    np.testing.assert_allclose(constant, -1 + 0.5 * np.array(rerank), atol=1e-9)

    order = list(range(len(rows)))
    random.shuffle(order)
    signals = {name: [row[i] for row in rows] for i, name in enumerate(("rerank", "dense", "bm25"))}
    shuffled = {name: [column[i] for i in order] for name, column in signals.items()}
    np.testing.assert_allclose(
        fusion.score(shuffled), fusion.score(signals)[order], atol=1e-6, rtol=1e-6
    )


def test_z_scores_do_not_change_with_the_scale_of_an_engine():
    fusion, signals = Fusion([FULL]), _queries()[0][0]
    rescaled = signals | {"bm25": 100 * signals["bm25"] + 7}

    np.testing.assert_allclose(fusion.score(rescaled), fusion.score(signals))


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ({"rerank": [1.0, float("nan")]}, "not all finite"),
        ({"rerank": [1.0], "dense": [1.0, 2.0], "bm25": [1.0]}, "differ in length"),
    ],
)
def test_scores_that_cannot_be_fused_are_refused(signals, reason):
    with pytest.raises(InvalidInputError, match=reason):
        Fusion([FULL, ALONE]).score(signals)


def test_a_fusion_needs_distinct_weights():
    with pytest.raises(InvalidInputError, match="at least one"):
        Fusion([])
    with pytest.raises(InvalidInputError, match="two sets"):
        Fusion([ALONE, ALONE])


def test_a_saved_fusion_scores_as_before(tmp_path):
    queries, labels = _queries()
    fusion = Fusion.fit(queries, labels)
    fusion.save(tmp_path)

    np.testing.assert_array_equal(Fusion.load(tmp_path).score(queries[1]), fusion.score(queries[1]))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"models": []},
        {"extra": 1},
        {"models": [{"intercept": 0.0, "weights": {}}]},
        {"models": [{"intercept": "0", "weights": {"rerank": 1.0}}]},
        {"models": [{"intercept": 0.0, "weights": {"rerank:w": 1.0}}]},
        {"models": [{"intercept": 0.0, "weights": {"rerank": float("nan")}}]},
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path, change):
    Fusion([ALONE]).save(tmp_path)
    content = json.loads((tmp_path / FUSION_FILE).read_text())
    (tmp_path / FUSION_FILE).write_text(json.dumps(content | change))

    with pytest.raises(InvalidInputError, match="fit it again"):
        Fusion.load(tmp_path)


def test_a_file_cut_short_is_refused(tmp_path):
    Fusion([ALONE]).save(tmp_path)
    text = (tmp_path / FUSION_FILE).read_text()
    (tmp_path / FUSION_FILE).write_text(text[: len(text) // 2])

    with pytest.raises(InvalidInputError, match="fit it again"):
        Fusion.load(tmp_path)


def test_rare_relevance_and_far_outliers_are_fitted_to_the_optimum():
    """Plain Newton steps would diverge here; the optimum is scikit-learn's."""
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(5)
    queries, labels = [], []
    for _ in range(100):
        relevant = np.zeros(50, dtype=int)
        relevant[random.integers(50)] = 1
        logits = 12.0 * relevant + random.standard_t(2, size=50)
        queries.append(
            {
                "rerank": logits,
                "dense": 0.05 * logits + 0.1 * random.normal(size=50),
                "bm25": np.exp(relevant * 2 + random.normal(size=50)),
            }
        )
        labels.append(relevant)
    terms = ["rerank", "dense", "bm25"]
    found = Fusion.fit(queries, labels, terms=terms, l2=1.0).choose(terms)

    matrix = np.stack([np.concatenate([query[t] for query in queries]) for t in terms], axis=1)
    scale = matrix.std(axis=0)
    expected = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(
        matrix / scale, np.concatenate(labels)
    )
    np.testing.assert_allclose(
        [found.weights[t] for t in terms], expected.coef_[0] / scale, rtol=1e-3, atol=1e-5
    )
    assert found.intercept == pytest.approx(expected.intercept_[0], rel=1e-3)
