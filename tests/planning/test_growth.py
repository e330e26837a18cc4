from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.planning.growth import Line, doublings, largest, line, spread
from rerank_search.planning.profile import Timed

times = st.lists(st.floats(1e-6, 100), min_size=1, max_size=5)


def timed(*means: tuple[int, float]) -> list[Timed]:
    return [Timed(size=size, seconds=[mean]) for size, mean in means]


def test_a_line_goes_through_two_times() -> None:
    found = line(timed((1_000, 2.0), (3_000, 4.0)))
    assert found.at(2_000) == pytest.approx(3.0)
    assert found.at(0) == pytest.approx(1.0)


def test_by_a_logarithm_each_doubling_adds_as_much() -> None:
    found = line(timed((1_024, 1.0), (4_096, 1.4)), doublings)
    assert found.at(doublings(16_384)) == pytest.approx(1.8)


def test_times_that_fall_with_the_size_are_taken_as_constant() -> None:
    assert line(timed((1_000, 3.0), (2_000, 1.0))) == Line(2.0, 0.0)


def test_below_the_measured_sizes_times_are_not_negative() -> None:
    found = line(timed((1_000, 1.0), (2_000, 3.0)))
    assert [found.at(size) for size in (3_000, 1_000, 100)] == pytest.approx([5.0, 1.0, 0.1])


@given(first=times, second=times)
def test_a_line_never_falls_and_never_is_negative(first, second) -> None:
    found = line([Timed(size=10, seconds=first), Timed(size=1_000, seconds=second)])
    assert 0 <= found.at(1) <= found.at(10) <= found.at(10**9)


def test_the_spread_keeps_the_shape_of_times_and_their_mean_to_the_median() -> None:
    found = spread([2.0, 2.0, 2.0, 6.0])
    assert found.mean() == pytest.approx(1.5)
    assert found.max() / found.min() == pytest.approx(3.0, rel=0.05)
    assert np.all(np.diff(found) >= 0)


def test_the_largest_size_is_found_in_any_order() -> None:
    assert largest(timed((5, 1.0), (9, 1.0), (7, 1.0))).size == 9
