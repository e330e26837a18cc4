from __future__ import annotations

import types
import warnings

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.classification import (
    classification_intervals,
    classification_values,
    precision_recall_curve,
)
from rerank_search.evaluation.results import StatisticsSettings


def by_sentence_transformers(labels, scores):
    from sentence_transformers.cross_encoder.evaluation import (
        CrossEncoderClassificationEvaluator,
    )

    model = types.SimpleNamespace(
        num_labels=1,
        predict=lambda *_, **__: np.asarray(scores, dtype=np.float32),
        model_card_data=types.SimpleNamespace(set_evaluation_metrics=lambda *_: None),
    )
    evaluator = CrossEncoderClassificationEvaluator(
        [["a", "b"]] * len(labels), labels, write_csv=False
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No positive class found")
        return evaluator(model)


def test_the_values_worked_by_hand():
    values = classification_values([1, 0, 1, 0], [0.9, 0.8, 0.6, 0.1])

    # Accuracy: accepting the first or the first three gives 3 of 4; the higher threshold wins.
    # F1: the first three have precision 2/3 and recall 1.
    assert values == pytest.approx(
        {
            "accuracy": 3 / 4,
            "accuracy_threshold": (0.9 + 0.8) / 2,
            "f1": 0.8,
            "f1_threshold": (0.6 + 0.1) / 2,
            "precision": 2 / 3,
            "recall": 1.0,
            "average_precision": (1 + 2 / 3) / 2,
        }
    )


def test_where_accepting_no_pair_is_best_the_threshold_is_just_above_all_scores():
    values = classification_values([0, 0, 1], [0.5, 0.5, 0.25])

    assert values["accuracy"] == 2 / 3
    assert 0.5 < values["accuracy_threshold"] < 0.5 + 1e-6


def test_without_a_positive_label_f1_and_average_precision_are_0():
    values = classification_values([0, 0], [0.5, 0.25])

    assert values["accuracy"] == 1.0
    assert values["f1"] == values["f1_threshold"] == values["average_precision"] == 0.0


# Few different scores, so many are tied; and neighbours without a float between them.
SCORES = st.sampled_from(
    [-2.0, 0.0, 0.1, 0.25, 1.0, float(np.nextafter(np.float32(1), np.float32(2))), 7.5]
) | st.floats(-9, 9, width=32)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), SCORES), min_size=1, max_size=40))
@example([(1, 0.5)])
@example([(0, 0.5)])
@example([(1, 0.5), (1, 0.25)])
@example([(0, 0.5), (0, 0.25)])
@example([(1, 0.5), (0, 0.5), (1, 0.5)])
@example([(1, float(np.nextafter(np.float32(1), np.float32(2)))), (0, 1.0)])
def test_equal_to_sentence_transformers(pairs):
    labels, scores = (list(column) for column in zip(*pairs, strict=True))

    values = classification_values(labels, scores)

    assert values == pytest.approx(by_sentence_transformers(labels, scores), abs=1e-9)


def test_equal_to_sentence_transformers_on_many_pairs():
    random = np.random.default_rng(5)
    labels = (random.random(5000) < 0.2).astype(int)
    scores = (labels + random.normal(size=5000)).round(2).astype(np.float32)

    values = classification_values(labels, scores)

    assert values == pytest.approx(by_sentence_transformers(labels, scores), abs=1e-9)


def test_curve_worked_by_hand():
    # The two tied pairs are accepted together.
    curve = precision_recall_curve([1, 0, 1, 0], [0.9, 0.6, 0.6, 0.1])

    assert curve == [(0.5, 1.0), (1.0, 2 / 3), (1.0, 0.5)]


def test_long_curve_keeps_its_shape_in_200_points():
    random = np.random.default_rng(5)
    labels = (random.random(5000) < 0.2).astype(int)
    scores = labels + random.normal(size=5000)

    curve = precision_recall_curve(labels, scores)

    recall, precision = np.array(curve).T
    assert 150 < len(curve) <= 200
    assert (np.diff(recall) >= 0).all()
    assert np.diff(recall).max() < 0.01
    assert curve[-1] == (1.0, labels.mean())
    area = np.diff(recall, prepend=0.0) @ precision
    exact = classification_values(labels, scores)["average_precision"]
    assert area == pytest.approx(exact, abs=0.01)


def test_curve_without_a_positive_label_has_no_point():
    assert precision_recall_curve([0, 0], [0.5, 0.25]) == []


@pytest.mark.parametrize("function", [classification_values, precision_recall_curve])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 2], [0.5, 0.5], "pair 2 has the label 2: use 0 or 1"),
        ([1, 0.5], [0.5, 0.5], "pair 2 has the label 0.5"),
        ([1, 0], [float("nan"), 0.5], "pair 1 has the score nan"),
        ([1, 0], [0.5, float("inf")], "pair 2 has the score inf"),
        ([1, 0], [0.5, 1e300], r"pair 2 has the score 1e\+300"),
        ([1], [0.5, 0.5], "1 labels for 2 scores"),
        ([], [], "0 labels for 0 scores"),
    ],
)
def test_unusable_pairs_are_an_error(function, labels, scores, message):
    with pytest.raises(InvalidInputError, match=message):
        function(labels, scores)


def test_intervals_are_those_of_samples_of_pairs():
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=60).tolist()
    scores = [round(label + rng.normal(), 1) for label in labels]  # some are equal
    settings = StatisticsSettings(resamples=1_500, confidence=0.9)
    found = classification_intervals(labels, scores, settings)
    # The bootstrap draws from the pairs in the order of their scores.
    order = np.argsort(-np.asarray(scores, dtype=np.float32), kind="stable")
    again = np.random.default_rng(settings.seed)
    samples = []
    for _ in range(150):
        drawn = order[again.integers(60, size=60)]
        samples.append(
            classification_values([labels[i] for i in drawn], [scores[i] for i in drawn])
        )
    assert found.keys() == {"accuracy", "f1", "precision", "recall", "average_precision"}
    for name, bounds in found.items():
        expected = np.quantile([sample[name] for sample in samples], [0.05, 0.95])
        np.testing.assert_allclose(bounds, expected)
    values = classification_values(labels, scores)
    assert found["average_precision"][0] < values["average_precision"]
    assert values["average_precision"] < found["average_precision"][1]


def test_a_single_pair_has_an_interval_of_no_width():
    found = classification_intervals([1], [0.5], StatisticsSettings(resamples=100))
    assert found["accuracy"] == (1.0, 1.0)
