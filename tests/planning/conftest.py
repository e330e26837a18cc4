from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rerank_search.planning import Profile

MILLION = 10**6


def calls(*means: tuple[int, float]) -> list[dict[str, Any]]:
    """Calls of sizes with these mean seconds; a tenth of them takes twice as long as the others."""
    return [{"size": size, "seconds": [mean / 1.1] * 9 + [2 * mean / 1.1]} for size, mean in means]


def content() -> dict[str, Any]:
    """A profile with costs that are easy to calculate with."""
    search = calls((MILLION, 0.001), (11 * MILLION, 0.002))  # 100 million words add 10 ms
    graph = calls((1024, 0.0005), (1024**2, 0.001))
    return {
        "measured": "2026-11-30",
        "machine": {
            "processor": "a processor",
            "cores": 4,
            "memory_bytes": 32_000_000_000,
            "device": "cpu",
            "versions": {"torch": "2.13.0"},
        },
        "text": {
            "document_bytes_per_word": 10,
            "bm25_bytes_per_word": 5,
            "build_seconds_per_word": 1e-6,
            "searches": search,
        },
        "vectors": [
            {
                "dtype": dtype,
                "dimension": 384,
                "exact": calls((10_000, 0.001), (100_000, 0.01)),
                "graph": graph,
                "graph_bytes_per_vector": 272,
                "graph_build_seconds_per_vector": 0.001,
            }
            for dtype in ("float32", "float16", "int8")
        ],
        "encoder": {
            "name": "an encoder",
            "dimension": 384,
            "passage_tokens": 256,
            "queries": [0.005, 0.005],
            "texts": calls((1_000, 0.1), (10_000, 1.0)),
        },
        "rerankers": [
            {
                "name": name,
                "backend": "torch",
                "dtype": "float32",
                "window": 512,
                "calls": calls((1_000, 1_000 / speed), (10_000, 10_000 / speed)),
            }
            for name, speed in (("large", 10_000), ("small", 100_000))
        ],
        "process_bytes": 10**9,
    }


@pytest.fixture(scope="session")
def made_profile() -> Callable[..., Profile]:
    """Makes a profile, with some of its tables replaced."""

    def make(**tables: Any) -> Profile:
        return Profile.model_validate(content() | tables)

    return make


@pytest.fixture(scope="session")
def profile(made_profile: Callable[..., Profile]) -> Profile:
    """A profile with costs that are easy to calculate with."""
    return made_profile()
