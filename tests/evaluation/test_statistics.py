from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.results import StatisticsSettings
from rerank_search.evaluation.statistics import (
    bootstrap_interval,
    bootstrap_intervals,
    compare_all,
    holm,
    p_value,
)

RANDOMISATION = StatisticsSettings()
T_TEST = StatisticsSettings(test="t-test")


def systems(queries, gain=0.1, seed=3):
    """Values of a measure for two systems; the first is better by ``gain`` on average."""
    random = np.random.default_rng(seed)
    theirs = random.random(queries)
    return theirs + gain + 0.2 * random.normal(size=queries), theirs


def test_interval_is_that_of_scipys_percentile_bootstrap():
    from scipy.stats import bootstrap

    ours, _ = systems(200)

    low, high = bootstrap_interval(ours, RANDOMISATION)

    theirs = bootstrap((ours,), np.mean, method="percentile", rng=np.random.default_rng(1))
    width = high - low
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)


def test_interval_widens_with_the_confidence():
    ours, _ = systems(50)
    wide = bootstrap_interval(ours, StatisticsSettings(confidence=0.99))
    narrow = bootstrap_interval(ours, StatisticsSettings(confidence=0.5))

    assert wide[0] < narrow[0] < ours.mean() < narrow[1] < wide[1]


def test_interval_of_many_resamples_is_the_same_as_drawn_at_once():
    ours, _ = systems(60)
    drawn = np.random.default_rng(RANDOMISATION.seed).integers(0, 60, (10_000, 60))
    tail = (1 - RANDOMISATION.confidence) / 2
    at_once = np.quantile(ours[drawn].mean(axis=1), [tail, 1 - tail])

    assert bootstrap_interval(ours, RANDOMISATION) == pytest.approx(tuple(at_once), abs=1e-12)


def test_intervals_of_many_columns_are_those_of_each_alone():
    ours, theirs = systems(40)

    together = bootstrap_intervals([ours, theirs], RANDOMISATION)

    alone = [bootstrap_interval(column, RANDOMISATION) for column in (ours, theirs)]
    assert np.array(together) == pytest.approx(np.array(alone), abs=1e-12)
    assert bootstrap_intervals([], RANDOMISATION) == []


def test_interval_of_one_query_or_none():
    assert bootstrap_interval([0.5], RANDOMISATION) == (0.5, 0.5)
    assert bootstrap_interval([], RANDOMISATION) == (0.0, 0.0)


def test_few_queries_are_tested_exactly():
    # Of the 8 ways to flip 0.1, 0.2 and 0.3, two reach a sum of 0.6 or -0.6.
    assert p_value([0.1, 0.2, 0.3], [0.0, 0.0, 0.0], RANDOMISATION) == 2 / 8


@pytest.mark.parametrize("queries", [2, 7, 13])
def test_exact_p_value_is_scipys(queries):
    from scipy.stats import permutation_test

    ours, theirs = systems(queries)

    p = p_value(ours, theirs, RANDOMISATION)

    expected = permutation_test(
        (ours, theirs),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert p == pytest.approx(expected.pvalue, abs=1e-12)


def test_random_p_value_is_scipys_within_its_noise():
    from scipy.stats import permutation_test

    ours, theirs = systems(60, gain=0.05)

    p = p_value(ours, theirs, RANDOMISATION)

    expected = permutation_test(
        (ours, theirs),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(1),
    ).pvalue
    assert 0.01 < expected < 0.3
    noise = math.sqrt(expected * (1 - expected) / 10_000)
    assert p == pytest.approx(expected, abs=5 * noise)


def test_random_p_value_is_never_0():
    ours = np.ones(1000)

    assert p_value(ours, np.zeros(1000), RANDOMISATION) == 1 / 10_001


def test_p_value_of_many_resamples_is_the_same_as_drawn_at_once():
    ours, theirs = systems(64, gain=0.05)
    random = np.random.default_rng(RANDOMISATION.seed)
    signs = 1 - 2.0 * random.integers(0, 2, (10_000, 64), dtype=np.int8)
    differences = ours - theirs
    extreme = abs(signs @ differences) >= abs(differences.sum()) - 1e-9

    assert p_value(ours, theirs, RANDOMISATION) == (extreme.sum() + 1) / 10_001


def test_more_than_64_queries_are_never_enumerated():
    ours, theirs = systems(100)

    assert 0 < p_value(ours, theirs, StatisticsSettings(resamples=100)) < 0.05


def test_t_test_is_scipys():
    from scipy.stats import ttest_rel

    ours, theirs = systems(30)

    assert p_value(ours, theirs, T_TEST) == pytest.approx(ttest_rel(ours, theirs).pvalue, abs=1e-12)


@pytest.mark.parametrize("settings", [RANDOMISATION, T_TEST])
@pytest.mark.parametrize("values", [[], [0.5], [0.5] * 3, [0.5] * 40])
def test_equal_systems_have_p_1(settings, values):
    assert p_value(values, values, settings) == 1.0


@pytest.mark.parametrize("settings", [RANDOMISATION, T_TEST])
def test_one_query_says_nothing(settings):
    assert p_value([0.9], [0.1], settings) == 1.0


def test_t_test_of_one_and_the_same_difference_everywhere_is_0():
    assert p_value([0.4, 0.5, 0.6], [0.1, 0.2, 0.3], T_TEST) == 0.0


@given(
    st.lists(
        st.tuples(*[st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 0.5, 1.0])] * 2),
        max_size=20,
    )
)
def test_p_value_is_two_sided(values):
    ours, theirs = [a for a, _ in values], [b for _, b in values]
    settings = StatisticsSettings(resamples=200)

    p = p_value(ours, theirs, settings)

    assert 0 < p <= 1
    assert p == p_value(theirs, ours, settings)


def test_results_depend_on_the_seed_alone():
    ours, theirs = systems(40)

    def found(seed):
        settings = StatisticsSettings(seed=seed)
        return bootstrap_interval(ours, settings), p_value(ours, theirs, settings)

    np.random.seed(0)
    first = found(1)
    np.random.seed(1)
    assert found(1) == first != found(2)


def test_holm_worked_by_hand():
    # In order: 0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.6 x 1, and none below the one before.
    assert holm([0.6, 0.01, 0.03, 0.02]) == pytest.approx([0.6, 0.04, 0.06, 0.06])


def test_holm_goes_no_higher_than_1():
    assert holm([0.5, 0.4, 0.9]) == [1.0, 1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lowers_nothing(p_values):
    corrected = holm(p_values)

    assert all(p <= c <= 1 for p, c in zip(p_values, corrected, strict=True))
    by_p = [c for _, c in sorted(zip(p_values, corrected, strict=True))]
    assert by_p == sorted(corrected)


def test_every_pair_of_systems_is_compared():
    better, worse = systems(100)

    comparisons = compare_all({"a": better, "b": worse, "c": worse}, RANDOMISATION)

    assert [(c.ours, c.theirs) for c in comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]
    a_b, _, b_c = comparisons
    assert a_b.difference == pytest.approx((better - worse).mean())
    assert a_b.interval == pytest.approx(bootstrap_interval(better - worse, RANDOMISATION))
    assert 0 < a_b.interval[0] < a_b.difference < a_b.interval[1]
    assert a_b.p == p_value(better, worse, RANDOMISATION)
    assert [c.p_holm for c in comparisons] == holm([c.p for c in comparisons])
    assert (b_c.difference, b_c.interval, b_c.p_holm) == (0.0, (0.0, 0.0), 1.0)


def test_wins_ties_and_losses_are_counted_beyond_rounding():
    ours = [0.5, 0.1 + 0.2, 0.5, 0.5]
    theirs = [0.4, 0.3, 0.6, 0.7]

    (comparison,) = compare_all({"ours": ours, "theirs": theirs}, RANDOMISATION)

    assert (comparison.wins, comparison.ties, comparison.losses) == (1, 1, 2)


def test_systems_without_queries_are_tied():
    (comparison,) = compare_all({"ours": [], "theirs": []}, RANDOMISATION)

    assert (comparison.difference, comparison.interval, comparison.p) == (0.0, (0.0, 0.0), 1.0)
    assert (comparison.wins, comparison.ties, comparison.losses) == (0, 0, 0)


def test_one_system_is_compared_with_nothing():
    assert compare_all({"ours": [0.5]}, RANDOMISATION) == []
    assert compare_all({}, RANDOMISATION) == []


def test_different_queries_are_an_error():
    with pytest.raises(InvalidInputError, match="with 1 and with 2 values"):
        compare_all({"ours": [0.5], "theirs": [0.5, 0.5]}, RANDOMISATION)
    with pytest.raises(InvalidInputError, match="with 1 and with 2 values"):
        p_value([0.5, 0.5], [0.5], RANDOMISATION)


def test_a_value_that_is_no_number_is_an_error():
    with pytest.raises(InvalidInputError, match="a value is NaN or infinite"):
        bootstrap_interval([0.5, float("nan")], RANDOMISATION)
