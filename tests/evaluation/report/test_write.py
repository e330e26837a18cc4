from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError, MissingDependencyError
from rerank_search.evaluation.report.per_query import read_per_query, write_per_query
from rerank_search.evaluation.report.schema import read_report
from rerank_search.evaluation.report.write import write_report
from rerank_search.evaluation.results import Cell, FinishedRun

FILES = ["per_query.csv", "report.html", "report.json", "report.md"]


def test_a_report_is_four_files(tmp_path: Path, finished: FinishedRun) -> None:
    pytest.importorskip("matplotlib", reason="the extra eval is not installed")
    report = write_report(tmp_path / "new" / "folder", finished)
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == FILES
    assert read_report(tmp_path / "new" / "folder").name == report.name
    again = write_report(tmp_path / "new" / "folder", finished)
    assert again.systems == report.systems


def test_the_figures_are_there_without_the_library_for_plots(
    tmp_path: Path, finished: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError):
        write_report(tmp_path, finished)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "per_query.csv",
        "report.json",
        "report.md",
    ]


def test_each_query_has_a_row_for_each_system_and_protocol(
    tmp_path: Path, finished: FinishedRun
) -> None:
    write_per_query(tmp_path / "per_query.csv", finished)
    with (tmp_path / "per_query.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (2 + 5) * 3
    assert rows[7] == {
        "collection": "notes",
        "split": "test",
        "system": "bm25@10+tiny",
        "protocol": "first_stage",
        "query": "q2",
        "nDCG@10": "0.5",
        "Judged@10": "0.2",
        "ndcg@10": "",
        "base_ndcg@10": "",
    }


def test_values_and_odd_ids_are_read_as_they_were_written(
    tmp_path: Path, cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    odd = ("a,b", 'say "x"', "two\nlines", "carriage\rreturn", "12")
    column = [1 / 3, 0.1, 1e-17, 0.0, 1.0]
    values = {"first_stage": {"nDCG@10": column}}
    write_per_query(tmp_path / "per_query.csv", run([cell(10, None, queries=odd, values=values)]))
    found = read_per_query(tmp_path / "per_query.csv")
    expected = dict(zip(odd, column, strict=True))
    assert found == {("notes", "test", "bm25@10", "first_stage"): {"nDCG@10": expected}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "line 1: the columns are missing, but should begin with collection"),
        ("a,b\n", "line 1: the columns are a, b, but"),
        ("collection,split,system,protocol,query,MAP\na,b,c,d,e\n", "line 2: 5 columns"),
        (
            "collection,split,system,protocol,query,MAP\na,b,c,d,e,x\n",
            "line 2: 'x' is not a number",
        ),
        ("collection,split,system,protocol,query,MAP\na,b,c,d,e,nan\n", "2: 'nan' is not a number"),
        (
            "collection,split,system,protocol,query,MAP\na,b,c,d,e,\0\n",
            "is not a number|is not CSV",
        ),
        (
            f"collection,split,system,protocol,query,MAP\n{'a' * 200_000}\n",
            "is not CSV in UTF-8|1 columns",
        ),
    ],
)
def test_a_damaged_file_is_an_error_with_its_line(
    tmp_path: Path, content: str, problem: str
) -> None:
    path = tmp_path / "per_query.csv"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=problem):
        read_per_query(path)


def test_a_missing_file_is_an_error_that_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"keep per_query\.csv beside its report\.json"):
        read_per_query(tmp_path / "per_query.csv")
