"""The smallest number of machines that meets a goal: shards, their replicas, and rerankers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rerank_search.planning.costs import Costs
from rerank_search.planning.queueing import Durations, Stage, response

SHARE = 0.99
"""The percentile that a goal is about."""

MOST_SHARDS = 4_096
"""Most times as many shards as the memory asks for that are tried."""

SHARD_STEP = 1.25
"""Ratio of two numbers of shards that are tried one after the other."""

LOWEST_UTILISATION = 0.005
"""Utilisation below which more machines no longer make waits shorter by much."""

HALVINGS = 7
"""Number of times that the range of utilisations is halved."""


@dataclass(frozen=True)
class Fleet:
    """Machines that meet a goal: ``shards`` times ``replicas`` that search, and ``rerankers``."""

    shards: int
    replicas: int
    rerankers: int
    stages: Sequence[Stage]
    times: Durations

    @property
    def searchers(self) -> int:
        """Number of machines that search."""
        return self.shards * self.replicas

    @property
    def machines(self) -> int:
        """Number of all machines, a GPU counted as one."""
        return self.searchers + self.rerankers

    @property
    def p99(self) -> float:
        """The 99th percentile of the time of a request, in seconds."""
        return self.times.percentile(SHARE)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """How far machines are from meeting a goal.

    ``alone`` is the 99th percentile of a request that never waits, and that searches a shard of one
    document; ``first`` and ``second`` are those of the two stages. They are infinite if no document
    fits into a machine.
    """

    alone: float
    first: float
    second: float


def smallest_fleet(costs: Costs) -> Fleet | Shortfall:
    """The machines that meet the goal, or why none do.

    Numbers of shards from what the memory asks for upwards are tried, in steps of SHARD_STEP.
    Machines are added to all groups alike, so that all are kept below the same utilisation, until
    the percentile is met.
    """
    goal = costs.goal.p99_ms / 1000
    best: Fleet | None = None
    short = fastest(costs)
    if short.alone > goal:
        return short
    for shards in _shards(costs):
        if best is not None and shards >= best.machines:
            break
        alone = response(_stages(costs, shards, 1, 1), waits=False).percentile(SHARE)
        if alone <= goal:
            found = _with_replicas(costs, shards, goal)
            if found is not None and (best is None or found.machines < best.machines):
                best = found
    return short if best is None else best


def fastest(costs: Costs) -> Shortfall:
    """The times of a request that never waits, and that searches a shard of one document."""
    if not costs.documents_per_machine:
        return Shortfall(math.inf, math.inf, math.inf)
    least = replace(costs, goal=replace(costs.goal, documents=1))
    stages = _stages(least, 1, 1, 1)
    return Shortfall(
        *(
            response(part, waits=False).percentile(SHARE)
            for part in (stages, *([each] for each in stages[1:]))
        )
    )


def _shards(costs: Costs) -> Iterator[int]:
    """Numbers of shards, from the fewest that fit into memory."""
    documents = costs.goal.documents
    shards = fewest = math.ceil(documents / costs.documents_per_machine)
    while shards <= min(documents, fewest * MOST_SHARDS):
        yield shards
        shards = max(shards + 1, math.ceil(shards * SHARD_STEP))


def _stages(costs: Costs, shards: int, replicas: int, rerankers: int) -> list[Stage]:
    """The network, the first stage in all shards, and the models."""
    rate = costs.goal.qps
    search = costs.search_seconds(costs.goal.documents / shards)
    return [
        Stage(np.array([costs.assumptions.network_ms / 1000]), 1, 0.0),
        Stage(search, replicas * costs.cores, rate, shards=shards),
        Stage(costs.model_seconds, rerankers, rate, sharing=True),
    ]


def _with_replicas(costs: Costs, shards: int, goal: float) -> Fleet | None:
    """The fewest machines with this number of shards; None if waits are always too long."""

    def at(utilisation: float) -> Fleet:
        _, search, models = _stages(costs, shards, 1, 1)
        replicas, rerankers = (
            max(1, math.ceil(stage.utilisation / utilisation - 1e-9)) for stage in (search, models)
        )
        stages = _stages(costs, shards, replicas, rerankers)
        return Fleet(shards, replicas, rerankers, stages, response(stages))

    low, high = LOWEST_UTILISATION, costs.goal.utilisation
    best = at(high)
    if best.p99 <= goal:
        return best
    best = at(min(low, high))
    if best.p99 > goal:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        found = at(middle)
        if found.p99 <= goal:
            low, best = middle, found
        else:
            high = middle
    return best
