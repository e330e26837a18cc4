"""A run made by hand: three queries, one first stage at two depths, one reranker, no models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rerank_search.evaluation.results import (
    Cell,
    Cost,
    FinishedRun,
    PairCell,
    Protocol,
    RerankerDeclaration,
    StatisticsSettings,
    System,
    Values,
)

QUERIES = ("q1", "q2", "q3")
TEXTS = {"q1": "a <script>alert(1)</script> question", "q2": "second question"}
SETTINGS = StatisticsSettings(resamples=200)


def values(**measures: Sequence[float]) -> Values:
    """``nDCG_10=...`` stands for nDCG@10."""
    return {name.replace("_", "@"): column for name, column in measures.items()}


def make_cell(depth: int, reranker: str | None, **changes: Any) -> Cell:
    """A cell: bm25 has 0, 0.5 and 1; the reranker 1, 1 and 0.5; the oracle 1, 1 and 1."""
    found: dict[Protocol, Values] = {
        "first_stage": values(nDCG_10=[0.0, 0.5, 1.0], Judged_10=[0.2, 0.2, 0.2]),
        "oracle": values(nDCG_10=[1.0, 1.0, 1.0], Judged_10=[0.3, 0.3, 0.3]),
    }
    top: dict[Protocol, Sequence[Sequence[str]]] = {
        "first_stage": [["a", "b", "c", "d"], [], ["e"]]
    }
    if reranker is not None:
        found |= {
            "retrieved": values(nDCG_10=[1.0, 1.0, 0.5], Judged_10=[0.2, 0.2, 0.2]),
            "all_positives": values(nDCG_10=[1.0, 1.0, 1.0], Judged_10=[0.2, 0.2, 0.2]),
            "sbert": {"ndcg@10": [0.9, 0.8, 0.7], "base_ndcg@10": [0.0, 0.5, 1.0]},
        }
        top["retrieved"] = [["d", "c", "b", "a"], [], ["e"]]
    arguments: dict[str, Any] = {
        "collection": "notes",
        "split": "test",
        "system": System("bm25", depth, reranker),
        "queries": QUERIES,
        "values": found,
        "top": top,
        "warnings": ["1 query has no text (first: queries.jsonl, line 3)"],
        "cost": make_cost(depth, reranker),
        "relevant_from": 1,
    }
    return Cell(**(arguments | changes))


def make_cost(depth: int, reranker: str | None) -> Cost:
    """A cost of 2 ms for the first stage, and of 1 ms for each candidate of the second."""
    rerank = {} if reranker is None else {"rerank": float(depth)}
    stages = {"first_stage": 2.0, **rerank, "total": 2.0 + sum(rerank.values())}
    return Cost(
        queries=20,
        latency_ms={name: {"p50": ms, "p95": 2 * ms, "p99": 3 * ms} for name, ms in stages.items()},
        pairs_per_second=None if reranker is None else 1000.0,
        truncated_share=None if reranker is None else 0.125,
        index_bytes=5_000_000,
        peak_memory_bytes=None,
    )


def titles_of(key: str, ids: Sequence[str]) -> Sequence[str]:
    """One line for each document."""
    return [f"title of {key} {id} & <b>more</b>" for id in ids]


def make_run(cells: Sequence[Cell], **changes: Any) -> FinishedRun:
    arguments: dict[str, Any] = {
        "name": "a run",
        "cells": cells,
        "pair_cells": [],
        "measures": ["nDCG@10", "Judged@10"],
        "primary": "nDCG@10",
        "statistics": SETTINGS,
        "environment": {"python": "3.11"},
        "sbert_at_k": 10,
        "rerankers": {"tiny": RerankerDeclaration("tiny-model", "float32", 64, True)},
        "query_texts": {"notes/test": TEXTS},
        "qrels": {"notes/test": {"q1": {"d": 2, "c": 0}}},
        "titles": titles_of,
    }
    return FinishedRun(**(arguments | changes))


@pytest.fixture
def cell() -> Callable[..., Cell]:
    return make_cell


@pytest.fixture
def run() -> Callable[..., FinishedRun]:
    return make_run


@pytest.fixture
def finished(pairs: PairCell) -> FinishedRun:
    """bm25 at depths 10 and 20, alone and reranked, and a classifier of pairs."""
    cells = [make_cell(depth, reranker) for depth in (10, 20) for reranker in (None, "tiny")]
    return make_run(cells, pair_cells=[pairs])


@pytest.fixture
def pairs() -> PairCell:
    return PairCell(
        collection="items",
        split="test",
        reranker="tiny",
        n_pairs=4,
        n_positive=2,
        values={"accuracy": 0.75, "average_precision": 0.875},
        curve=[(0.0, 1.0), (0.5, 1.0), (1.0, 2 / 3)],
        warnings=["1 pair is empty"],
    )
