from __future__ import annotations

from collections.abc import Callable

import pytest

from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.results import Cell, FinishedRun, StatisticsSettings
from rerank_search.evaluation.statistics import bootstrap_interval


def test_means_are_over_all_queries(finished: FinishedRun) -> None:
    system = build_report(finished).systems[1]
    assert (system.name, system.n_queries) == ("bm25@10+tiny", 3)
    assert system.protocols["first_stage"] == pytest.approx({"nDCG@10": 0.5, "Judged@10": 0.2})
    assert system.protocols["retrieved"]["nDCG@10"] == pytest.approx(2.5 / 3)
    assert system.protocols["sbert"] == pytest.approx({"ndcg@10": 0.8, "base_ndcg@10": 0.5})


def test_a_system_without_a_reranker_has_what_the_first_stage_decides(
    finished: FinishedRun,
) -> None:
    system = build_report(finished).systems[0]
    assert system.name == "bm25@10"
    assert set(system.protocols) == {"first_stage", "oracle"}


def test_intervals_are_the_bootstraps_of_each_column(finished: FinishedRun) -> None:
    system = build_report(finished).systems[1]
    expected = bootstrap_interval([1.0, 1.0, 0.5], finished.statistics)
    assert system.intervals["retrieved"]["nDCG@10"] == pytest.approx(expected)
    assert "sbert" not in system.intervals


def test_the_reranked_list_is_compared_with_its_first_stage_at_each_depth(
    finished: FinishedRun,
) -> None:
    rows = build_report(finished).comparisons
    assert [(row.candidates, row.ours, row.theirs, row.measure) for row in rows] == [
        (10, "bm25@10+tiny", "bm25@10", "nDCG@10"),
        (20, "bm25@20+tiny", "bm25@20", "nDCG@10"),
    ]
    row = rows[0]
    assert row.difference == pytest.approx(1 / 3)
    # The differences are 1, 0.5 and -0.5: 6 of the 8 sign patterns have a sum of 1 or more.
    assert row.p == row.p_holm == 6 / 8
    assert (row.wins, row.ties, row.losses) == (2, 0, 1)


def test_all_pairs_at_a_depth_are_corrected_together(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    rows = build_report(run([cell(10, "one"), cell(10, "two")])).comparisons
    assert [(row.ours, row.theirs) for row in rows] == [
        ("bm25@10+one", "bm25@10+two"),
        ("bm25@10+one", "bm25@10"),
        ("bm25@10+two", "bm25@10"),
    ]
    assert [row.p_holm for row in rows] == [1.0, 1.0, 1.0]


def test_a_run_without_cells_is_a_report_without_systems(run: Callable[..., FinishedRun]) -> None:
    report = build_report(run([], statistics=StatisticsSettings()))
    assert (report.systems, report.comparisons, report.pairs) == ([], [], [])
