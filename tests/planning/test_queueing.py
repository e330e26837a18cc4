from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.planning.queueing import (
    Durations,
    Seconds,
    Stage,
    Wait,
    delay,
    response,
    wait,
    waiting_share,
)

EXPONENTIAL = -np.log(1 - (np.arange(50_000) + 0.5) / 50_000)
"""Equally likely times of the exponential distribution of mean 1."""

ALWAYS_1 = np.ones(1)

loads = st.floats(0.01, 0.99)
servers = st.integers(1, 40)
services = st.lists(st.floats(0.001, 10), min_size=1, max_size=20).map(np.array)


def mean(times: Durations) -> float:
    return float((times.masses * np.arange(len(times.masses))).sum() * times.step)


@pytest.mark.parametrize(
    ("count", "load", "expected"), [(1, 0.7, 0.7), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9)]
)
def test_the_share_that_waits_is_erlangs_formula(count: int, load: float, expected: float) -> None:
    assert waiting_share(count, load) == pytest.approx(expected)


def test_with_one_server_and_exponential_times_the_response_is_exponential_too() -> None:
    """M/M/1: rate 0.7, so the response is exponential with the mean 1 / 0.3."""
    times = response([Stage(EXPONENTIAL, 1, 0.7)])
    for share in (0.5, 0.9, 0.99):
        assert times.percentile(share) == pytest.approx(-math.log(1 - share) / 0.3, rel=0.01)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_with_exponential_times_the_wait_is_that_of_m_m_c(count: int) -> None:
    rate = 0.8 * count
    expected = waiting_share(count, rate) / (count - rate)
    assert wait(count, rate, EXPONENTIAL).mean == pytest.approx(expected, rel=1e-3)


def test_with_one_server_the_mean_wait_is_that_of_pollaczek_and_khinchine() -> None:
    rate, service = 0.6, np.array([0.5, 0.5, 1.0, 2.0])
    expected = rate * (service**2).mean() / (2 * (1 - rate * service.mean()))
    assert wait(1, rate, service).mean == pytest.approx(expected)
    assert wait(1, 0.5, ALWAYS_1).mean == pytest.approx(0.5)  # M/D/1
    assert mean(response([Stage(ALWAYS_1, 1, 0.5)])) == pytest.approx(1.5, rel=1e-3)


def test_by_sharing_one_server_requests_lose_as_much_as_exponential_ones_wait() -> None:
    """M/M/1 and M/G/1 with processor sharing: load / (1 - load)."""
    for service in (ALWAYS_1, EXPONENTIAL, np.array([0.5, 1.5])):
        assert delay(1, 0.5, service).mean == pytest.approx(1.0, rel=1e-3)


def test_at_several_shared_servers_more_is_lost_than_in_one_queue_until_all_are_busy() -> None:
    few, many = (
        delay(3, load, ALWAYS_1).mean / wait(3, load, EXPONENTIAL).mean for load in (1.0, 2.99)
    )
    assert few > 1.5
    assert many == pytest.approx(1.0, abs=0.05)


def shared(service: Seconds, count: int, rate: float, requests: int = 20_000) -> Seconds:
    """Simulated times of requests, each at the server with the fewest, which share it equally."""
    random = np.random.default_rng(1)
    arrivals = np.cumsum(random.exponential(1 / rate, requests))
    drawn = random.choice(service, requests)
    jobs: list[dict[int, float]] = [{} for _ in range(count)]
    times, now = np.zeros(requests), 0.0

    def serve(left: dict[int, float], until: float) -> None:
        at = now
        while left:
            number = min(left, key=lambda each: left[each])
            end = at + left[number] * len(left)
            part = (min(end, until) - at) / len(left)
            for each in left:
                left[each] -= part
            if end > until:
                return
            at = end
            del left[number]
            times[number] = end - arrivals[number]

    for number, arrival in enumerate(arrivals):
        for left in jobs:
            serve(left, arrival)
        now = arrival
        min(jobs, key=len)[number] = drawn[number]
    for left in jobs:
        serve(left, math.inf)
    return times[requests // 10 :]


@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("service", [ALWAYS_1, EXPONENTIAL[::500]], ids=["equal", "exponential"])
def test_percentiles_of_shared_servers_are_near_simulated_ones(count: int, service) -> None:
    rate = 0.7 * count / service.mean()
    found = np.percentile(shared(service, count, rate), 99)
    predicted = response([Stage(service, count, rate, sharing=True)]).percentile(0.99)
    assert 0.9 < predicted / found < 1.25


def test_at_a_shared_server_those_lose_nothing_who_are_alone_all_the_time() -> None:
    assert delay(1, 0.5, ALWAYS_1).share == pytest.approx(1 - 0.5 * math.exp(-0.5))
    assert delay(1, 0.0, ALWAYS_1) == Wait(0.0, 0.0)


def test_servers_that_cannot_keep_up_have_no_percentile() -> None:
    for sharing in (False, True):
        stage = Stage(ALWAYS_1, 2, 2.0, sharing=sharing)
        assert stage.utilisation == 1.0
        assert stage.wait == Wait(1.0, math.inf)
        assert response([stage]).percentile(0.5) == math.inf


def test_the_slowest_of_exponential_times_has_a_harmonic_number_as_its_mean() -> None:
    times = response([Stage(EXPONENTIAL, 1, 0.0, shards=10)])
    assert mean(times) == pytest.approx(sum(1 / i for i in range(1, 11)), rel=0.01)


def test_the_slowest_of_equally_likely_times_is_their_product() -> None:
    times = response([Stage(np.array([1.0, 2.0]), 1, 0.0, shards=3)])
    assert times.percentile(0.125) == pytest.approx(1.0, abs=2 * times.step)
    assert times.percentile(0.126) == pytest.approx(2.0, abs=2 * times.step)


def test_stages_are_added_up() -> None:
    stages = [Stage(np.array([1.0, 3.0]), 1, 0.0), Stage(np.array([10.0, 20.0]), 1, 0.0)]
    times = response(stages)
    found = [times.percentile(share) for share in (0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([11, 13, 21, 23], abs=2 * times.step)


def test_without_waits_a_busy_stage_takes_its_service_time() -> None:
    times = response([Stage(ALWAYS_1, 1, 0.9)], waits=False)
    assert times.percentile(0.999) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("model", [wait, delay])
@given(count=servers, load=loads, service=services)
def test_more_servers_never_make_the_wait_longer(model, count, load, service) -> None:
    rate = load * count / service.mean()
    few, more = (model(each, rate, service) for each in (count, count + 1))
    assert more.share <= few.share * (1 + 1e-9)
    assert more.seconds <= few.seconds * (1 + 1e-9)


@pytest.mark.parametrize("model", [wait, delay])
@given(count=servers, load=loads, further=st.floats(0, 0.5), service=services)
def test_more_load_never_makes_the_wait_shorter(model, count, load, further, service) -> None:
    rates = load * count / service.mean() * np.array([1, 1 + further])
    less, more = (model(count, float(rate), service) for rate in rates)
    assert more.share >= less.share * (1 - 1e-9)
    assert more.seconds >= less.seconds * (1 - 1e-9)


@given(count=servers, load=loads, service=services, shards=st.integers(1, 50))
def test_percentiles_are_in_order_and_grow_with_the_shards(count, load, service, shards) -> None:
    rate = load * count / service.mean()
    one, many = (response([Stage(service, count, rate, shards=n)]) for n in (1, shards))
    assert service.min() * (1 - 1e-6) <= one.percentile(0.01) + one.step
    assert one.percentile(0.5) <= one.percentile(0.99)
    assert one.percentile(0.99) <= many.percentile(0.99) + one.step + many.step


def test_the_share_of_very_many_servers_is_bounded_from_above() -> None:
    exact_for_fewer = waiting_share(2_000, 1_960.0)
    assert waiting_share(20_000, 19_600.0) == pytest.approx(exact_for_fewer)
