"""A plan: the machines that a goal takes, where its figures come from, and what changes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rerank_search.planning.costs import Costs
from rerank_search.planning.figures import (
    Figure,
    assumed_figures,
    derived_figures,
    measured_figures,
)
from rerank_search.planning.fleet import Fleet, Shortfall, fastest, smallest_fleet
from rerank_search.planning.goal import Assumptions, Goal
from rerank_search.planning.profile import Profile
from rerank_search.retrieval.dense import HNSW_ABOVE

BELOW = 0.8
"""Share of the most candidates that are possible at all: at their number itself, hardly any wait is
allowed, which takes very many machines."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """A changed goal: what is changed, and the machines that it takes; None if it is impossible.

    ``machines`` counts GPUs too.
    """

    change: str
    machines: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a goal takes. ``problem`` says why it is impossible; then nothing is derived."""

    goal: Goal
    possible: bool
    problem: str | None
    figures: Sequence[Figure]
    alternatives: Sequence[Alternative]
    notes: Sequence[str]


def make_plan(
    goal: Goal,
    profile: Profile,
    *,
    rerank_profile: Profile | None = None,
    assumptions: Assumptions | None = None,
) -> Plan:
    """The machines for a goal, from the costs of one.

    ``rerank_profile`` has the costs of the machines that rerank and encode, if they are others
    than those that search, such as ones with a GPU. Raises InvalidInputError for a reranker or a
    vector dtype that was not measured.
    """
    costs = Costs(goal, profile, rerank_profile or profile, assumptions or Assumptions())
    found = smallest_fleet(costs)
    known = [*measured_figures(costs), *assumed_figures(costs)]
    if isinstance(found, Shortfall):
        return Plan(goal, False, _problem(costs, found), known, [*_changed(costs)], _notes(costs))
    derived = derived_figures(costs, found)
    notes = [*_notes(costs), *_index_notes(costs, found)]
    return Plan(goal, True, None, [*derived, *known], [*_changed(costs)], notes)


def _changed(costs: Costs) -> Iterator[Alternative]:
    """Fewer candidates, other models, smaller vectors, and only BM25, as far as measured."""
    goal, reranker = costs.goal, costs.reranker
    half = max(1, goal.candidates // 2)
    yield _alternative(costs, f"{half} candidates", candidates=half)
    for each in costs.reranking.rerankers:
        own = replace(costs, goal=replace(goal, reranker=each.label))
        whole = _alternative(own, each.label)
        if each is not reranker:
            yield whole
        if whole.machines is None and (most := _most_candidates(own)):
            yield _alternative(own, f"{each.label}, {most} candidates", candidates=most)
    if not goal.has_vectors:
        return
    for vectors in costs.searching.vectors:
        if vectors.dtype != goal.vector_dtype:
            change = f"vectors in {vectors.dtype}"
            yield _alternative(costs, change, vector_dtype=vectors.dtype)
    other = "exact" if goal.vector_search == "graph" else "graph"
    yield _alternative(costs, f"vector search: {other}", vector_search=other)
    if goal.has_text:
        yield _alternative(costs, "first stage: bm25", first_stage="bm25")


def _most_candidates(costs: Costs) -> int:
    """A number of candidates that makes an impossible goal possible, or 0 if none does."""
    fits, too_many = 0, costs.goal.candidates
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fewer = replace(costs, goal=replace(costs.goal, candidates=middle))
        if fastest(fewer).alone > costs.goal.p99_ms / 1000:
            too_many = middle
        else:
            fits = middle
    few = round(fits * BELOW)
    while few and _alternative(costs, "", candidates=few).machines is None:
        few //= 2
    return few


def _alternative(costs: Costs, change: str, **changes: Any) -> Alternative:
    found = smallest_fleet(replace(costs, goal=replace(costs.goal, **changes)))
    return Alternative(change, found.machines if isinstance(found, Fleet) else None)


def _problem(costs: Costs, short: Shortfall) -> str:
    goal = costs.goal
    if math.isinf(short.alone):
        needed = costs.searching.process_bytes + costs.memory_per_document
        return (
            f"a machine with {costs.memory_bytes / 1e9:.2f} GB of memory, of which "
            f"{costs.assumptions.memory_share:.0%} may be used, has no room for a process and one "
            f"document, which take {needed / 1e9:.2f} GB: give --memory-gb more"
        )
    said = (
        f"a 99th percentile of {goal.p99_ms:g} ms cannot be met by any number of machines: the "
        f"fastest that a request can be is {_ms(short.alone)} even if it never waits, of which the "
        f"first stage takes {_ms(short.first)} and the models {_ms(short.second)}"
    )
    if short.alone <= goal.p99_ms / 1000:
        return f"{said}. That many shards, or so short waits, are out of reach"
    others = costs.query_seconds + costs.assumptions.server_ms / 1000
    reading = short.second - others
    left = goal.p99_ms / 1000 - (short.alone - reading)
    if left <= 0:
        return f"{said}. Reranking alone is not the cause: the rest takes longer than that"
    speed = costs.pairs_per_second * reading / left
    return (
        f"{said}. With a GPU, or another machine, that reranks more than {speed:,.0f} pairs/s "
        f"({costs.pairs_per_second:,.0f} here) it can, or with a change below"
    )


def _notes(costs: Costs) -> list[str]:
    """The assumptions of a plan that are not numbers."""
    goal = costs.goal
    notes = [
        "requests arrive at random, and go to the machine that is least busy",
        "a slow search of a shard is at most as much slower than others as the slowest measured",
    ]
    if goal.has_text:
        notes.append("BM25's time grows in proportion to the words of a shard")
    if goal.has_vectors and goal.vector_search == "graph":
        notes.append("a graph's time grows with the logarithm of the vectors of a shard")
    if goal.has_vectors and costs.dimension != costs.vectors.dimension:
        notes.append("the time of vectors grows in proportion to their length")
    if goal.cores is not None and not costs.on_gpu:
        notes.append("the models' speed grows in proportion to the cores of a CPU")
    return notes


def _index_notes(costs: Costs, fleet: Fleet) -> Iterator[str]:
    """What the indexes of the shards have to be told."""
    goal = costs.goal
    vectors = goal.documents * costs.passages // fleet.shards
    if goal.has_vectors and goal.vector_search == "graph" and vectors <= HNSW_ABOVE:
        yield (
            f"a shard has a graph: make its index with hnsw_above below {vectors:,}, since by "
            f"default an index reads all of up to {HNSW_ABOVE:,} vectors"
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
