from __future__ import annotations

import json
from pathlib import Path

import pytest

from rerank_search.planning import Profile, write_profile
from tests.planning.conftest import content

GOAL = ("--documents", "1e6", "--qps", "5", "--p99-ms", "2000", "--first-stage", "bm25")


@pytest.fixture
def costs(folder: Path) -> str:
    """A file of costs; see tests/planning/conftest.py."""
    write_profile(Profile.model_validate(content()), folder / "costs.json")
    return "costs.json"


@pytest.fixture
def planned(called, costs: str):
    """Plans with a file of costs."""
    return lambda *options: called("plan", "--profile", costs, *GOAL, *options)


def test_a_plan_keeps_what_is_derived_measured_and_assumed_apart(planned) -> None:
    done = planned("--reranker", "small")
    assert done.returncode == 0
    derived, changed, measured, assumed = (
        done.stdout.index(f"\n  {title} ")
        for title in ("what it takes", "with this change", "measured", "assumed")
    )
    assert derived < changed < measured < assumed
    assert derived < done.stdout.index("machines that search") < changed
    assert measured < done.stdout.index("on a processor, 4 cores, 2026-11-30") < assumed
    assert assumed < done.stdout.index("tokens_per_word")


def test_a_plan_as_json(planned) -> None:
    found = json.loads(planned("--json", "--reranker", "small").stdout)
    assert found["possible"]
    assert found["goal"]["documents"] == 1_000_000
    kinds = {each["kind"] for each in found["figures"]}
    assert kinds == {"derived", "measured", "assumed"}


def test_an_impossible_goal_is_said_with_exit_code_1(planned) -> None:
    done = planned("--p99-ms", "100")
    assert done.returncode == 1
    assert done.stdout.startswith("Impossible: a 99th percentile of 100 ms")
    assert "what it takes" not in done.stdout
    assert "small (float32, torch)" in done.stdout


def test_an_assumption_is_replaced(planned) -> None:
    found = json.loads(planned("--json", "--reranker", "small", "--assume", "network_ms=3").stdout)
    [network] = [each for each in found["figures"] if each["name"] == "network_ms"]
    assert network["value"] == 3


def test_other_machines_rerank(planned, folder: Path) -> None:
    machine = content()["machine"] | {"device": "cuda:0 a GPU"}
    write_profile(Profile.model_validate(content() | {"machine": machine}), folder / "gpu.json")
    done = planned("--reranker", "small", "--rerank-profile", "gpu.json")
    assert "GPUs that rerank" in done.stdout
    assert "on a processor, 4 cores, cuda:0 a GPU, 2026-11-30" in done.stdout


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--documents", "1.5"), "'1.5' is not a whole number"),
        (("--documents", "many"), "'many' is not a whole number"),
        (("--documents", "inf"), "'inf' is not a whole number"),
        (("--documents", "0"), "documents=0 must be at least 1"),
        (("--qps", "nan"), "qps=nan is not finite"),
        (("--p99-ms", "0"), "p99_ms=0 must be above 0"),
        (("--first-stage", "sparse"), "first_stage='sparse' is unknown"),
        (("--utilisation", "1"), "utilisation=1 must be at most 0.99"),
        (("--reranker", "medium"), "reranker='medium' was not measured"),
        (("--assume", "networks_ms=1"), "did you mean 'network_ms'"),
        (("--profile", "none.json"), "none.json cannot be read"),
        (("--rerank-profile", "none.json"), "none.json cannot be read"),
        (("--measure-dtype", "int8"), "need --measure"),
    ],
)
def test_a_wrong_value_is_refused(planned, options, problem: str) -> None:
    done = planned(*options)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not done.stdout


def test_a_goal_that_lacks_something_is_refused(called, costs: str) -> None:
    done = called("plan", "--profile", costs, "--documents", "1000")
    assert done.returncode == 2
    assert "--qps, --p99-ms missing" in done.stderr
