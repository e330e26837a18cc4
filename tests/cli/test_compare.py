from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from rerank_search.cli.compare import compare
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.per_query import write_per_query
from rerank_search.evaluation.results import (
    Cell,
    FinishedRun,
    PairCell,
    StatisticsSettings,
    System,
)


def report(
    folder: Path,
    value: float,
    queries: int = 10,
    stages: Sequence[str] = ("bm25",),
    f1: float | None = None,
    relevant_from: int = 1,
) -> Path:
    """The folder of a report in which each stage at 10 has ``value`` for every query."""
    cells = [
        Cell(
            collection="notes",
            split="test",
            system=System(stage, 10, None),
            queries=[f"q{number}" for number in range(queries)],
            values={"first_stage": {"nDCG@10": [value] * queries, "MAP": [0.5] * queries}},
            top={},
            warnings=[],
            cost=None,
            relevant_from=relevant_from,
        )
        for stage in stages
    ]
    pairs = [] if f1 is None else [PairCell("items", "test", "tiny", 4, 2, {"f1": f1}, [], [])]
    run = FinishedRun(
        name="run",
        cells=cells,
        pair_cells=pairs,
        measures=["nDCG@10", "MAP"],
        primary="nDCG@10",
        statistics=StatisticsSettings(resamples=1024),
        environment={},
        sbert_at_k=10,
        rerankers={},
        query_texts={},
        qrels={},
        titles=lambda _, ids: ids,
    )
    folder.mkdir()
    write_per_query(folder / "per_query.csv", run)
    (folder / "report.json").write_text(build_report(run).model_dump_json())
    return folder


@pytest.fixture
def high(tmp_path: Path) -> Path:
    return report(tmp_path / "high", 0.5)


@pytest.fixture
def low(tmp_path: Path) -> Path:
    return report(tmp_path / "low", 0.25)


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_significant_loss_is_exit_code_1(high: Path, low: Path) -> None:
    result = run(high / "report.json", low / "report.json")
    assert result.exit_code == 1
    row = next(line for line in result.stdout.splitlines() if "bm25@10" in line)
    assert row.split() == [
        *("notes/test", "bm25@10", "first", "stage"),
        *("0.500", "0.250", "-0.250", "0.002", "loss"),
    ]


def test_a_gain_is_exit_code_0_and_folders_will_do(high: Path, low: Path) -> None:
    result = run(low, high)
    assert result.exit_code == 0
    assert "gain" in result.stdout


def test_the_measure_that_decides_can_be_chosen(high: Path, low: Path) -> None:
    result = run(high, low, "--measure", "map")
    assert result.exit_code == 0
    assert "no significant change" in result.stdout


def test_json_has_every_measure_and_the_same_exit_code(high: Path, low: Path) -> None:
    result = run(high, low, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["primary"] == "nDCG@10"
    assert [(row["measure"], row["verdict"]) for row in found["changes"]] == [
        ("nDCG@10", "loss"),
        ("MAP", "no significant change"),
    ]


def test_queries_of_one_report_alone_are_counted(high: Path, tmp_path: Path) -> None:
    result = run(high, report(tmp_path / "fewer", 0.5, queries=7))
    assert "notes/test: queries skipped because only one report has them: 3" in result.stderr


def test_queries_that_only_the_earlier_report_has_are_exit_code_1_unless_allowed(
    high: Path, tmp_path: Path
) -> None:
    fewer = report(tmp_path / "fewer", 0.5, queries=7)
    result = run(high, fewer)
    assert result.exit_code == 1
    assert f"{fewer} lacks results of {high} (queries of notes/test: 3)" in result.stderr
    allowed = run(high, fewer, "--allow-missing")
    assert (allowed.exit_code, "may hide a loss" in allowed.stderr) == (0, False)
    assert run(fewer, high).exit_code == 0


def test_a_file_that_is_no_report_is_wrong_usage(high: Path, tmp_path: Path) -> None:
    # The command line turns this error into exit code 2.
    assert isinstance(run(high, tmp_path / "nowhere").exception, InvalidInputError)


def test_what_only_the_earlier_report_has_is_exit_code_1_unless_allowed(
    high: Path, tmp_path: Path
) -> None:
    both = report(tmp_path / "both", 0.5, stages=("bm25", "dense"))
    result = run(both, high)
    assert result.exit_code == 1
    assert "notes/test dense@10 (first stage): only in the report before" in result.stderr
    assert f"{high} lacks results of {both} (rankings or classifiers: 1)" in result.stderr
    assert "--allow-missing" in run(both, high, "--json").stderr
    assert run(both, high, "--json").exit_code == 1
    allowed = run(both, high, "--allow-missing")
    assert (allowed.exit_code, "may hide a loss" in allowed.stderr) == (0, False)
    assert run(high, both).exit_code == 0


def test_a_loss_counts_where_something_missing_is_allowed(low: Path, tmp_path: Path) -> None:
    both = report(tmp_path / "both", 0.5, stages=("bm25", "dense"))
    assert run(both, low, "--allow-missing").exit_code == 1


def test_labelled_pairs_have_a_table_and_do_not_decide(tmp_path: Path) -> None:
    before = report(tmp_path / "before", 0.5, f1=0.75)
    after = report(tmp_path / "after", 0.5, f1=0.25)
    result = run(before, after)
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if "items/test" in line)
    assert row.split() == ["items/test", "tiny", "f1", "0.7500", "0.2500", "-0.5000"]
    assert "no reason to fail" in result.stderr
    [pair] = json.loads(run(before, after, "--json").stdout)["pairs"]
    assert (pair["measure"], pair["difference"]) == ("f1", -0.5)


def test_reports_of_pairs_alone_are_compared(tmp_path: Path) -> None:
    before = report(tmp_path / "before", 0.5, stages=(), f1=0.75)
    result = run(before, report(tmp_path / "after", 0.5, stages=(), f1=0.75))
    assert result.exit_code == 0
    assert "+0.0000" in result.stdout
    assert "nDCG@10" not in result.stdout


def test_what_was_set_in_another_way_is_said(high: Path, tmp_path: Path) -> None:
    result = run(high, report(tmp_path / "graded", 0.5, relevant_from=2))
    expected = "notes/test: relevant_from is 1 before and 2 after"
    assert expected in result.stderr.splitlines()
    shown = run(high, tmp_path / "graded", "--json").stdout
    assert json.loads(shown)["notes"] == [expected]
