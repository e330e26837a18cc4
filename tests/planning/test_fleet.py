from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rerank_search.planning import Assumptions, Goal
from rerank_search.planning.costs import Costs
from rerank_search.planning.fleet import Fleet, Shortfall, smallest_fleet

GOAL = Goal(
    documents=10_000_000,
    qps=20,
    p99_ms=1_000,
    candidates=50,
    words=100,
    first_stage="bm25",
    reranker="small",
)


@pytest.fixture
def costs(profile) -> Costs:
    return Costs(GOAL, profile, profile, Assumptions())


def fleet(costs: Costs, **changes) -> Fleet:
    found = smallest_fleet(replace(costs, goal=replace(costs.goal, **changes)))
    assert isinstance(found, Fleet)
    return found


def test_a_fleet_meets_its_goal_and_no_server_is_too_busy(costs: Costs) -> None:
    found = fleet(costs)
    assert found.p99 <= 1.0
    assert found.machines == found.shards * found.replicas + found.rerankers
    assert all(stage.utilisation <= 0.7 for stage in found.stages)


def test_what_does_not_fit_into_memory_is_divided_into_shards(costs: Costs) -> None:
    # A document takes 500 bytes of the 7 GB that remain.
    fit = 14_000_000
    assert fleet(costs, memory_gb=10, documents=fit).shards == 1
    assert fleet(costs, memory_gb=10, documents=fit + 1).shards == 2


def test_a_tighter_percentile_takes_as_many_machines_or_more(costs: Costs) -> None:
    machines = [fleet(costs, p99_ms=p99).machines for p99 in (2_000, 1_000, 300, 180)]
    assert machines == sorted(machines)
    assert machines[0] < machines[-1]


def test_more_searches_take_as_many_machines_or_more(costs: Costs) -> None:
    machines = [fleet(costs, qps=qps).machines for qps in (0.1, 10, 100, 1_000)]
    assert machines == sorted(machines)
    assert machines[0] == 2


def test_a_percentile_below_the_time_of_one_query_is_a_shortfall(costs: Costs) -> None:
    found = smallest_fleet(replace(costs, goal=replace(GOAL, p99_ms=50)))
    assert isinstance(found, Shortfall)
    assert 0.05 < found.second <= found.alone


def test_a_machine_without_room_for_a_document_is_a_shortfall(costs: Costs) -> None:
    found = smallest_fleet(replace(costs, goal=replace(GOAL, memory_gb=1)))
    assert isinstance(found, Shortfall)
    assert math.isinf(found.alone)


def test_large_numbers_are_planned_too(costs: Costs) -> None:
    found = fleet(costs, documents=10**12, qps=100_000)
    assert found.shards > 10_000
    assert found.rerankers > 10_000
