from __future__ import annotations

import pytest

from rerank_search.http_calls.balance import FIRST_AWAY, LONGEST_AWAY, Balance


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def balance(clock: Clock) -> Balance:
    return Balance(3, clock=clock, random=lambda: 1.0)


def taken(balance: Balance, count: int) -> list[int]:
    return [balance.take() for _ in range(count)]


def test_the_server_with_the_fewest_outstanding_requests_is_next(balance: Balance) -> None:
    assert taken(balance, 6) == [0, 1, 2, 0, 1, 2]
    balance.give_back(1)
    balance.give_back(1)
    balance.give_back(2)
    assert taken(balance, 3) == [1, 2, 1]


def test_equal_servers_take_turns(balance: Balance) -> None:
    turns = []
    for _ in range(6):
        turns.append(balance.take())
        balance.give_back(turns[-1])
    assert turns == [0, 1, 2, 0, 1, 2]


def test_a_call_goes_to_a_server_that_it_has_not_tried(balance: Balance) -> None:
    assert balance.take({0}) == 1
    assert balance.take({0, 1}) == 2
    assert balance.has_another({0, 1})
    assert not balance.has_another({0, 1, 2})


def test_a_server_that_fails_gets_nothing(balance: Balance) -> None:
    assert balance.failed(0) == FIRST_AWAY
    assert taken(balance, 4) == [1, 2, 1, 2]
    assert not balance.has_another({1, 2})


def test_if_all_have_failed_the_one_whose_time_is_over_first_is_next(
    balance: Balance, clock: Clock
) -> None:
    balance.failed(2)
    clock.now += 0.1
    balance.failed(0)
    balance.failed(1, least=0.05)
    assert balance.take() == 2
    assert balance.take({2}) == 0
    assert balance.take({0, 1, 2}) == 2


def test_one_request_probes_a_server_whose_time_is_over(balance: Balance, clock: Clock) -> None:
    balance.failed(0)
    assert balance.due() is None
    clock.now += FIRST_AWAY
    assert balance.due() == 0
    assert balance.due() is None  # it is being probed
    assert taken(balance, 2) == [1, 2]
    assert balance.answered(0)
    assert not balance.answered(0)
    assert balance.take() == 0


def test_each_failed_probe_doubles_the_time_up_to_a_bound(balance: Balance, clock: Clock) -> None:
    times = []
    for _ in range(12):
        seconds = balance.failed(0)
        assert seconds is not None
        times.append(seconds)
        clock.now += seconds
        assert balance.due() == 0
    assert times[:3] == [FIRST_AWAY, 2 * FIRST_AWAY, 4 * FIRST_AWAY]
    assert times[-1] == LONGEST_AWAY
    balance.answered(0)
    assert balance.failed(0) == FIRST_AWAY


def test_requests_that_fail_together_count_once(balance: Balance, clock: Clock) -> None:
    assert balance.failed(0) == FIRST_AWAY
    assert balance.failed(0) is None
    clock.now += FIRST_AWAY
    assert balance.failed(0) == 2 * FIRST_AWAY


def test_the_time_is_at_least_what_the_server_asks_for(balance: Balance) -> None:
    assert balance.failed(0, least=7.0) == 7.0


def test_times_differ_by_chance_so_that_clients_do_not_probe_together(clock: Clock) -> None:
    least = Balance(2, clock=clock, random=lambda: 0.0)
    assert least.failed(0) == FIRST_AWAY / 2


def test_no_server_is_probed_if_no_other_is_left(balance: Balance, clock: Clock) -> None:
    for place in range(3):
        balance.failed(place)
    clock.now += LONGEST_AWAY
    assert balance.due() is None
    assert balance.take() == 0
    balance.answered(0)
    assert balance.due() == 1


def test_a_busy_server_returns_without_a_probe(balance: Balance, clock: Clock) -> None:
    balance.busy(0, 2.0)
    assert taken(balance, 2) == [1, 2]
    clock.now += 2.0
    assert balance.due() is None
    assert balance.take() == 0
