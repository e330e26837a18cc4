from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.calibration import (
    CALIBRATION_FILE,
    Calibration,
    Calibrations,
    FittedOn,
    HeldOut,
    Isotonic,
    Platt,
    Quality,
    fit_curve,
)
from rerank_search.reranking.fusion import Weights

FITTED_ON = FittedOn(
    model="tiny",
    collection="small",
    split="dev",
    first_stage="hybrid",
    candidates=50,
    queries=4,
    documents=200,
    relevant=0.02,
)
HELD_OUT = HeldOut(folds=4, before=Quality(ece=0.3, brier=0.2), after=Quality(ece=0.01, brier=0.02))


def calibration(curve, fusion=None):
    return Calibration(fusion=fusion, curve=curve, fitted_on=FITTED_ON, held_out=HELD_OUT)


def judged(count: int = 2000, seed: int = 3):
    """Scores whose true probability of relevance is sigmoid(2 * score - 1)."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=count)
    return scores, (random.random(count) < 1 / (1 + np.exp(1 - 2 * scores))).astype(int)


def test_platt_finds_the_curve_that_the_labels_were_drawn_from():
    curve = Platt.fit(*judged())
    assert curve.slope == pytest.approx(2, abs=0.2)
    assert curve.intercept == pytest.approx(-1, abs=0.2)


def test_platt_is_the_logistic_regression_on_smoothed_targets():
    from sklearn.linear_model import LogisticRegression

    scores, labels = judged(60)
    positives = labels.sum()
    target = np.where(labels, (positives + 1) / (positives + 2), 1 / (len(labels) - positives + 2))
    # Target 0.9 is the same as label 1 with weight 0.9 and label 0 with weight 0.1.
    expected = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000).fit(
        np.concatenate([scores, scores])[:, None],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    curve = Platt.fit(scores, labels)
    assert curve.slope == pytest.approx(expected.coef_[0, 0], rel=1e-4)
    assert curve.intercept == pytest.approx(expected.intercept_[0], rel=1e-3)


def test_platt_stays_off_0_and_1_where_scores_separate_the_classes():
    curve = Platt.fit([-3.0, -2.0, 2.0, 3.0], [0, 0, 1, 1])
    low, high = curve.probability(np.array([-3.0, 3.0]))
    assert 0.2 < low < 0.3
    assert 0.7 < high < 0.8


@pytest.mark.parametrize("scores", [[4.0, 3.0, 2.0, 1.0], [0.1, 0.1, 0.1, 0.1]])
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_scores_that_say_nothing_get_one_probability(scores, method):
    curve = fit_curve(method, scores, [0, 0, 1, 1])
    np.testing.assert_allclose(curve.probability(np.array([-9.0, 2.5, 9.0])), 0.5)


def test_isotonic_pools_what_violates_the_order_worked_by_hand():
    curve = Isotonic.fit([1.0, 2.0, 3.0, 4.0, 4.0, 5.0], [0, 1, 0, 0, 1, 1])
    # 2, 3 and the two at 4 are pooled to 2/4, as 1 > 0 and then 1/2 = 1/2 are not in order.
    assert curve.scores == [1.0, 2.0, 4.0, 5.0]
    assert curve.probabilities == [0.0, 0.5, 0.5, 1.0]
    np.testing.assert_allclose(
        curve.probability(np.array([0.0, 1.5, 3.0, 4.5, 6.0])), [0, 0.25, 0.5, 0.75, 1]
    )


def test_isotonic_is_that_of_scikit_learn():
    from sklearn.isotonic import IsotonicRegression

    scores, labels = judged(300)
    scores = np.round(scores, 1)  # many equal ones
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    asked = np.linspace(-4, 4, 200)
    np.testing.assert_allclose(
        Isotonic.fit(scores, labels).probability(asked), theirs.predict(asked), atol=1e-6
    )


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 1)), max_size=30),
    st.sampled_from(["platt", "isotonic"]),
    st.randoms(),
)
def test_a_curve_never_falls_and_ignores_the_order_of_documents(rows, method, random):
    rows += [(0.5, 0), (0.5, 1)]
    scores, labels = zip(*rows, strict=True)
    curve = fit_curve(method, scores, labels)
    asked = np.sort([*scores, -1e9, 1e9])
    probabilities = calibration(curve).probability(asked)
    assert np.all(np.diff(probabilities) >= -1e-12)
    assert np.all((probabilities >= 0) & (probabilities <= 1))

    random.shuffle(rows)
    shuffled = fit_curve(method, *zip(*rows, strict=True))
    np.testing.assert_allclose(shuffled.probability(asked), probabilities, atol=1e-6)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize(
    ("scores", "labels", "reason"),
    [
        ([1.0, 2.0], [0, 0], "both must occur"),
        ([1.0, 2.0], [1, 1], "both must occur"),
        ([1.0, 2.0], [0, 2], "must be 0 or 1"),
        ([], [], "both must occur"),
        ([1.0, float("nan")], [0, 1], "not finite"),
        ([1.0, float("inf")], [0, 1], "not finite"),
        ([1.0], [0, 1], "there are 1 scores and 2 labels"),
    ],
)
def test_what_cannot_be_fitted_is_refused(method, scores, labels, reason):
    with pytest.raises(InvalidInputError, match=reason):
        fit_curve(method, scores, labels)


def test_scores_that_are_not_finite_have_no_probability():
    fitted = calibration(Platt(slope=1.0, intercept=0.0))
    with pytest.raises(InvalidInputError, match="not finite"):
        fitted.probability([0.0, float("nan")])
    assert fitted.probability([]).shape == (0,)
    assert fitted.probability(np.zeros(2, dtype=np.float32)).dtype == np.float64


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("fusion", [None, Weights(-1.1, {"rerank": 0.3, "bm25:z": 0.7})])
def test_a_saved_calibration_is_read_as_it_was(tmp_path, method, fusion):
    scores, labels = judged(200)
    saved = calibration(fit_curve(method, scores, labels), fusion)
    saved.save(tmp_path)
    read = Calibration.load(tmp_path)
    assert read == saved
    np.testing.assert_array_equal(read.probability(scores), saved.probability(scores))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"format": "other"},
        {"extra": 1},
        {"curve": {"method": "platt", "slope": -1.0, "intercept": 0.0}},
        {"curve": {"method": "platt", "slope": "1", "intercept": 0.0}},
        {"curve": {"method": "platt", "slope": float("nan"), "intercept": 0.0}},
        {"curve": {"method": "spline"}},
        {"curve": {"method": "isotonic", "scores": [], "probabilities": []}},
        {"curve": {"method": "isotonic", "scores": [0.0], "probabilities": [0.1, 0.2]}},
        {"curve": {"method": "isotonic", "scores": [0.0, 0.0], "probabilities": [0.1, 0.2]}},
        {"curve": {"method": "isotonic", "scores": [0.0, 1.0], "probabilities": [0.2, 0.1]}},
        {"curve": {"method": "isotonic", "scores": [0.0, 1.0], "probabilities": [0.2, 1.1]}},
        {"fusion": {"intercept": 0.0}},
        {"fitted_on": {}},
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path, change):
    calibration(Platt(slope=1.0, intercept=0.0)).save(tmp_path)
    path = tmp_path / CALIBRATION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InvalidInputError, match="not a valid calibration file: delete it"):
        Calibration.load(tmp_path)


def test_a_file_cut_short_is_refused_and_a_missing_one_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"calibration.json does not exist"):
        Calibration.load(tmp_path)
    calibration(Platt(slope=1.0, intercept=0.0)).save(tmp_path)
    path = tmp_path / CALIBRATION_FILE
    path.write_text(path.read_text()[:40])
    with pytest.raises(InvalidInputError, match="not a valid calibration file"):
        Calibration.load(tmp_path)


WEIGHTS = Weights(-1.0, {"rerank": 0.5, "bm25:z": 0.7})
SEVERAL = Calibrations(
    calibrations=[
        calibration(Platt(slope=2.0, intercept=-0.5)),
        calibration(Platt(slope=1.0, intercept=0.0), WEIGHTS),
    ]
)


def test_calibrations_of_several_scores_are_read_as_they_were_saved(tmp_path):
    SEVERAL.save(tmp_path)
    assert Calibrations.load(tmp_path) == SEVERAL


def test_of_several_calibrations_the_one_of_the_score_is_taken():
    assert SEVERAL.of(None) == SEVERAL.calibrations[0]
    assert SEVERAL.of(Weights(-1.0, {"bm25:z": 0.7, "rerank": 0.5})) == SEVERAL.calibrations[1]
    assert SEVERAL.of(Weights(-1.1, {"rerank": 0.5, "bm25:z": 0.7})) is None


def test_a_file_of_one_calibration_is_read_as_several(tmp_path):
    SEVERAL.calibrations[1].save(tmp_path)
    assert Calibrations.load(tmp_path).calibrations == SEVERAL.calibrations[1:]
    assert Calibration.load(tmp_path) == SEVERAL.calibrations[1]


def test_several_calibrations_are_not_read_as_one(tmp_path):
    SEVERAL.save(tmp_path)
    with pytest.raises(
        InvalidInputError, match=r"has 2 calibrations: load it with Calibrations\.load"
    ):
        Calibration.load(tmp_path)


def test_two_calibrations_of_one_score_are_refused(tmp_path):
    twice = SEVERAL.model_dump()
    twice["calibrations"].append(twice["calibrations"][0])
    (tmp_path / CALIBRATION_FILE).write_text(json.dumps(twice))
    with pytest.raises(InvalidInputError, match="two calibrations for the same score"):
        Calibrations.load(tmp_path)
