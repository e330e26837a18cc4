from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO

import pytest

from rerank_search.cli.worth import print_worth
from rerank_search.evaluation.report.schema import Report, SystemReport
from rerank_search.evaluation.results import Protocol, StatisticsSettings

MEASURES = ("nDCG@10", "MAP", "R@100", "MRR@10")


def system(
    first_stage: str, reranker: str | None, *values: float, collection: str = "small"
) -> SystemReport:
    """A system with these values: nDCG@10 of first_stage, of retrieved and of all_positives."""
    names: Sequence[Protocol] = ("first_stage", "retrieved", "all_positives")
    # Each further measure is lower by a tenth.
    protocols = {
        name: {measure: value - place / 10 for place, measure in enumerate(MEASURES)}
        for name, value in zip(names, values, strict=False)
    }
    return SystemReport(
        collection=collection,
        split="test",
        name="",
        first_stage=first_stage,
        candidates=20,
        reranker=reranker,
        n_queries=1406,
        protocols=protocols,
        intervals={},
        warnings=[],
        cost=None,
    )


def report(systems: Sequence[SystemReport], primary: str = "nDCG@10") -> Report:
    return Report(
        name="",
        created=datetime.now(UTC),
        environment={},
        measures=MEASURES,
        primary=primary,
        statistics=StatisticsSettings(),
        systems=systems,
        comparisons=[],
        pairs=[],
    )


SYSTEMS = [
    system("bm25", None, 0.5),
    system("hybrid", None, 0.6),
    system("bm25", "rerank-search-base", 0.5, 0.7, 0.9),
    system("hybrid", "rerank-search-base", 0.6, 0.75, 0.95),
]


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_each_first_stage_is_followed_by_what_reranks_it(capsys) -> None:
    print_worth(report(SYSTEMS))
    assert printed(capsys) == [
        "",
        "small/test, 1,406 queries",
        "                               retrieved               all positives",
        "                           MAP  MRR@10  nDCG@10      MAP  MRR@10  nDCG@10",
        "─" * 73,
        "bm25@20                 0.4000  0.2000   0.5000",
        "  +rerank-search-base   0.6000  0.4000   0.7000   0.8000  0.6000   0.9000",
        "hybrid@20               0.5000  0.3000   0.6000",
        "  +rerank-search-base   0.6500  0.4500   0.7500   0.8500  0.6500   0.9500",
        "all positives: relevant documents that the first stage missed are added",
    ]


def test_without_a_reranker_there_is_one_column_of_rankings(capsys) -> None:
    print_worth(report(SYSTEMS[:2]))
    text = "\n".join(printed(capsys))
    assert "all positives" not in text
    assert "hybrid@20      0.5000  0.3000   0.6000" in text


def test_another_primary_measure_is_shown_too(capsys) -> None:
    print_worth(report(SYSTEMS[:1], primary="R@100"))
    lines = printed(capsys)
    assert lines[3].split() == ["MAP", "MRR@10", "nDCG@10", "R@100"]
    assert lines[5].split() == ["bm25@20", "0.4000", "0.2000", "0.5000", "0.3000"]


def test_each_collection_has_its_table(capsys) -> None:
    print_worth(report([*SYSTEMS[:1], system("bm25", None, 0.25, collection="other")]))
    lines = printed(capsys)
    assert [line for line in lines if "queries" in line] == [
        "small/test, 1,406 queries",
        "other/test, 1,406 queries",
    ]
    assert lines[-1].split() == ["bm25@20", "0.1500", "-0.0500", "0.2500"]


LONG = [*SYSTEMS, system("bm25", "r" * 70, 0.5, 0.7, 0.9, collection="small")]


def test_a_long_name_is_whole_in_a_pipe(capsys) -> None:
    print_worth(report(LONG))
    assert "+" + "r" * 70 in " ".join(printed(capsys)).split()


@pytest.mark.parametrize("columns", [80, 120])
def test_a_long_name_leaves_room_for_all_figures_on_a_terminal(monkeypatch, columns) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_worth(report(LONG))
    lines = terminal.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.count("0.6000") for line in lines) == 5
    assert sum(line.count("r") for line in lines) > 70


@pytest.mark.parametrize("is_terminal", [True, False])
def test_names_and_figures_are_whole_where_they_do_not_fit(monkeypatch, is_terminal) -> None:
    class Output(StringIO):
        def isatty(self) -> bool:
            return is_terminal

    output = Output()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    print_worth(report(SYSTEMS))
    lines = [line.split() for line in output.getvalue().splitlines()]
    assert ["bm25@20", "0.4000", "0.2000", "0.5000"] in lines
    assert output.getvalue().count("nDCG@10") == 2
    assert "…" not in output.getvalue()
