"""eval/publish.py, which makes the tables of eval/results from reports."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.markdown import markdown
from rerank_search.evaluation.results import Cell, FinishedRun, StatisticsSettings

EVAL = Path(__file__).parents[3] / "eval"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script eval/publish.py as a module."""
    monkeypatch.syspath_prepend(EVAL)
    import publish

    return publish


def test_the_cards_figures_are_judged_by_the_reports_own_confidence(
    publish: ModuleType, cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    queries = [f"q{number}" for number in range(10)]
    zeros, ones = {"nDCG@10": [0.0] * 10}, {"nDCG@10": [1.0] * 10}
    found = {"first_stage": zeros, "oracle": ones, "retrieved": ones, "all_positives": ones}
    cells = [cell(10, "tiny", queries=queries, values=found)]

    def figures(confidence: float) -> str:
        settings = StatisticsSettings(resamples=1024, confidence=confidence)
        report = build_report(run(cells, measures=["nDCG@10"], statistics=settings))
        return str(publish.figures(report, "tiny"))

    for confidence, level, shown in (
        (0.95, "p < 0.05.", "**+1.000 (p = 0.002)**"),
        (0.999, "p < 0.001.", " +1.000 (p = 0.002) "),
    ):
        assert level in figures(confidence)
        assert shown in figures(confidence)
    assert "trained" not in figures(0.95)


def test_two_versions_are_compared_fused_and_alone(
    publish: ModuleType, cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    queries = [f"q{number}" for number in range(10)]
    figures = {"old": 0.25, "old-logit": 0.0, "new": 0.25, "new-logit": 1.0}

    def values(reranked: float) -> dict[str, dict[str, list[float]]]:
        found = {"first_stage": 0.5, "retrieved": reranked, "all_positives": 1.0, "oracle": 1.0}
        return {protocol: {"nDCG@10": [value] * 10} for protocol, value in found.items()}

    cells = [cell(10, name, queries=queries, values=values(x)) for name, x in figures.items()]
    settings = StatisticsSettings(resamples=1024)
    report = build_report(run(cells, measures=["nDCG@10"], statistics=settings))
    [row] = [line for line in publish.versions(report, "old", "new").splitlines() if "10 |" in line]
    fused = "| 0.500 | 0.250 | 0.250 | +0.000 (p = 1.000) |"
    assert fused in row
    assert row.partition(fused)[2].startswith(" 0.000 | 1.000 | **+1.000 (p = 0.0")


def test_a_published_report_is_whole_or_as_it_was(
    publish: ModuleType, finished: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = build_report(finished)
    folder, results = tmp_path / "run", tmp_path / "results"
    folder.mkdir()
    results.mkdir()
    (folder / "report.json").write_text(report.model_dump_json())
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    # A hard link to the published file: it keeps the old text if the file is replaced.
    (results / "a run.md").write_text("published before")
    (results / "other name").hardlink_to(results / "a run.md")
    monkeypatch.setattr(publish, "RESULTS", results)
    monkeypatch.setattr(sys, "argv", ["publish.py", str(folder)])
    publish.main()
    assert (results / "a run.md").read_text(encoding="utf-8") == markdown(report)
    assert (results / "other name").read_text() == "published before"
    assert json.loads((results / "a run.json").read_text())["version"] == 3
    assert len(list(results.iterdir())) == 3
