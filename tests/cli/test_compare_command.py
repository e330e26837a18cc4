from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from rerank_search.cli.compare import compare
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.per_query import write_per_query
from rerank_search.evaluation.results import Cell, FinishedRun, StatisticsSettings, System


def report(folder: Path, value: float, queries: int = 10) -> Path:
    """The folder of a report in which bm25@10 has ``value`` for every query."""
    cell = Cell(
        collection="notes",
        split="test",
        system=System("bm25", 10, None),
        queries=[f"q{number}" for number in range(queries)],
        values={"first_stage": {"nDCG@10": [value] * queries, "MAP": [0.5] * queries}},
        top={},
        warnings=[],
        cost=None,
    )
    run = FinishedRun(
        name="run",
        cells=[cell],
        pair_cells=[],
        measures=["nDCG@10", "MAP"],
        primary="nDCG@10",
        statistics=StatisticsSettings(resamples=1024),
        environment={},
        query_texts={},
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
    result = run(high, low, "--measure", "MAP")
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
    assert "notes/test: queries left out, as only one report has them: 3" in result.stderr


def test_a_file_that_is_no_report_is_wrong_usage(high: Path, tmp_path: Path) -> None:
    # The command line turns this error into exit code 2.
    assert isinstance(run(high, tmp_path / "nowhere").exception, InvalidInputError)
