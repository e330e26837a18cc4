from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from rerank_search.training.publish.reliability import Bin, reliability, reliability_plot


def test_figures_of_few_documents_worked_by_hand():
    probabilities = np.array([0.9, 0.1, 0.1, 0.6])
    labels = np.array([1, 0, 1, 0])
    quality, bins = reliability(probabilities, labels)
    assert bins == [Bin(pytest.approx(0.1), 0.5, 2), Bin(0.6, 0.0, 1), Bin(0.9, 1.0, 1)]
    assert quality.ece == pytest.approx((2 * 0.4 + 0.6 + 0.1) / 4)
    assert quality.brier == pytest.approx((0.01 + 0.01 + 0.81 + 0.36) / 4)


def test_bins_have_equal_mass():
    random = np.random.default_rng(1)
    _, bins = reliability(random.random(1000), random.integers(0, 2, 1000))
    assert [each.documents for each in bins] == [100] * 10
    assert [each.probability for each in bins] == sorted(each.probability for each in bins)


def test_documents_of_one_probability_are_in_one_bin_in_whatever_order_they_come():
    random = np.random.default_rng(1)
    probabilities = random.choice([0.0, 0.25, 1.0], 500, p=[0.7, 0.2, 0.1])
    labels = random.integers(0, 2, 500)
    quality, bins = reliability(probabilities, labels)
    assert [each.probability for each in bins] == [0.0, 0.25, 1.0]
    order = random.permutation(500)
    again, _ = reliability(probabilities[order], labels[order])
    assert again.ece == pytest.approx(quality.ece)
    assert again.brier == pytest.approx(quality.brier)


def test_probabilities_that_hold_have_no_calibration_error():
    quality, _ = reliability(
        np.repeat([0.25, 0.75], 8), np.array([1, 0, 0, 0] * 2 + [1, 1, 1, 0] * 2)
    )
    assert quality.ece == 0
    assert quality.brier == pytest.approx(0.1875)


def test_the_plot_is_one_svg_that_is_the_same_each_time():
    curves = {"before": [Bin(0.1, 0.5, 2), Bin(0.9, 1.0, 2)], "after": [Bin(0.5, 0.5, 4)]}
    plot = reliability_plot(curves)
    assert ET.fromstring(plot).tag.endswith("svg")
    assert b"before" in plot
    assert b"after" in plot
    assert plot == reliability_plot(curves)
