from __future__ import annotations

from dataclasses import replace

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.planning import Goal, Plan, make_plan

GOAL = Goal(documents=1_000_000, qps=20, p99_ms=1_000, candidates=20, reranker="small")


def figure(plan: Plan, name: str) -> float:
    return next(each.value for each in plan.figures if each.name == name)


def changes(plan: Plan) -> dict[str, int | None]:
    return {each.change: each.machines for each in plan.alternatives}


@pytest.fixture(scope="module")
def possible(profile) -> Plan:
    return make_plan(GOAL, profile)


def test_every_figure_says_where_it_comes_from(possible: Plan) -> None:
    assert possible.possible
    assert {each.kind for each in possible.figures} == {"derived", "measured", "assumed"}
    for each in possible.figures:
        assert each.source, each.name
        assert (each.where is not None) == (each.kind == "measured"), each.name


def test_the_machines_are_among_the_figures(possible: Plan) -> None:
    found = figure(possible, "shards") * figure(possible, "replicas of each shard")
    assert figure(possible, "machines that search") == found
    assert figure(possible, "a request, p99") <= 1_000
    assert figure(possible, "a request, p50") < figure(possible, "a request, p99")


def test_memory_is_that_of_documents_and_replicas(possible: Plan) -> None:
    shard = figure(possible, "memory of a shard")
    assert figure(possible, "memory of all shards") == pytest.approx(
        shard * figure(possible, "machines that search")
    )


def test_alternatives_are_planned_too(possible: Plan, profile) -> None:
    assert set(changes(possible)) >= {"10 candidates", "vectors in int8", "first stage: bm25"}
    fewer = make_plan(replace(GOAL, candidates=10), profile)
    total = figure(fewer, "machines that search") + figure(fewer, "machines that rerank")
    assert changes(possible)["10 candidates"] == total


def test_an_impossible_goal_says_why_and_what_would_make_it_possible(profile) -> None:
    asked = replace(GOAL, reranker="large", candidates=100, p99_ms=500)
    plan = make_plan(asked, profile)
    assert not plan.possible
    assert plan.problem is not None
    assert "99th percentile of 500 ms" in plan.problem
    assert "pairs/s" in plan.problem
    assert {each.kind for each in plan.figures} == {"measured", "assumed"}
    found = changes(plan)
    assert found["50 candidates"] is None
    [(label, machines)] = [
        (change, number) for change, number in found.items() if change.startswith("large")
    ]
    assert machines is not None
    few = int(label.rpartition(", ")[2].removesuffix(" candidates"))
    assert make_plan(replace(asked, candidates=few), profile).possible


def test_a_machine_with_too_little_memory_is_named(profile) -> None:
    problem = make_plan(replace(GOAL, memory_gb=0.5), profile).problem
    assert problem is not None
    assert "--memory-gb" in problem


def test_a_goal_below_the_first_stage_alone_does_not_blame_the_reranker(profile) -> None:
    problem = make_plan(replace(GOAL, p99_ms=5), profile).problem
    assert problem is not None
    assert "the rest takes longer" in problem


def test_other_machines_rerank_with_their_own_costs(profile, made_profile) -> None:
    machine = profile.machine.model_dump() | {"device": "cuda:0 a GPU", "processor": "another"}
    plan = make_plan(GOAL, profile, rerank_profile=made_profile(machine=machine))
    assert figure(plan, "GPUs that rerank") >= 1
    places = {each.name: each.where for each in plan.figures if each.where}
    assert "another" in str(places["reranking"])
    assert "a GPU" in str(places["reranking"])
    assert "another" not in str(places["a search by BM25"])


def test_cores_are_said_to_make_models_faster_only_where_they_do(profile, made_profile) -> None:
    said = "the models' speed grows in proportion to the cores of a CPU"
    goal = replace(GOAL, cores=8)
    assert said in make_plan(goal, profile).notes
    machine = profile.machine.model_dump() | {"device": "cuda:0 a GPU"}
    assert said not in make_plan(goal, profile, rerank_profile=made_profile(machine=machine)).notes


def test_a_plan_with_a_graph_for_few_vectors_says_what_the_index_needs(profile) -> None:
    few = make_plan(replace(GOAL, documents=100_000), profile)
    assert any("hnsw_above below 200,000" in note for note in few.notes)  # 2 passages each
    for changed in ({"documents": 1_000_000}, {"vector_search": "exact"}, {"first_stage": "bm25"}):
        plan = make_plan(replace(GOAL, **{"documents": 100_000, **changed}), profile)
        assert plan.possible
        assert not any("hnsw_above" in note for note in plan.notes)


def test_what_was_not_measured_is_refused(profile, made_profile) -> None:
    with pytest.raises(InvalidInputError, match="reranker='medium' was not measured"):
        make_plan(replace(GOAL, reranker="medium"), profile)
    only = made_profile(vectors=[profile.vectors[0].model_dump()])
    with pytest.raises(InvalidInputError, match="vector_dtype='int8' was not measured"):
        make_plan(replace(GOAL, vector_dtype="int8"), only)
