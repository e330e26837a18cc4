from __future__ import annotations

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.planning import Goal
from rerank_search.planning.goal import Assumptions, assumed

GOAL = {"documents": 1_000, "qps": 1.0, "p99_ms": 500.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"documents": 0},
        {"documents": 1.5},
        {"documents": True},
        {"documents": 10**14},
        {"qps": 0},
        {"qps": float("nan")},
        {"qps": float("inf")},
        {"qps": "500"},
        {"p99_ms": -1},
        {"candidates": 0},
        {"words": 0},
        {"first_stage": "bm52"},
        {"vector_dtype": "int4"},
        {"vector_search": "tree"},
        {"dimension": 0},
        {"cores": 0},
        {"memory_gb": 0},
        {"memory_gb": 1e300},
        {"p99_ms": 1e300},
        {"utilisation": 0},
        {"utilisation": 1.0},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_name(changes) -> None:
    [name] = changes
    with pytest.raises(InvalidInputError, match=f"^{name}="):
        Goal(**(GOAL | changes))


def test_assumptions_are_replaced_by_name() -> None:
    found = assumed(["network_ms=0.25", "query_tokens=20"])
    assert found == Assumptions(network_ms=0.25, query_tokens=20)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("network=1", "did you mean 'network_ms'"),
        ("network_ms", "not NAME=VALUE"),
        ("network_ms=fast", "network_ms='fast' is invalid"),
        ("network_ms=nan", "network_ms=nan is invalid"),
        ("memory_share=2", "memory_share=2 is invalid"),
        ("query_tokens=0", "query_tokens=0 is invalid"),
        ("query_tokens=1" + 400 * "0", "query_tokens=10*.* is invalid"),
        ("tokens_per_word=1e308", r"tokens_per_word=1e\+308 is invalid"),
        ("disk_copies=1e308", r"disk_copies=1e\+308 is invalid"),
        ("network_ms=1e308", r"network_ms=1e\+308 is invalid"),
    ],
)
def test_a_wrong_assumption_is_refused(given: str, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
        assumed([given])
