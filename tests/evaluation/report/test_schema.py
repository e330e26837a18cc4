from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.schema import read_report, significant
from rerank_search.evaluation.results import FinishedRun, StatisticsSettings


@pytest.fixture
def written(tmp_path: Path, finished: FinishedRun) -> Path:
    path = tmp_path / "report.json"
    path.write_text(build_report(finished).model_dump_json())
    return path


def changed(path: Path, **values: object) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


def test_a_report_is_read_as_it_was_written(written: Path, finished: FinishedRun) -> None:
    report = read_report(written)
    expected = build_report(finished).model_copy(update={"created": report.created})
    assert report.model_dump(mode="json") == expected.model_dump(mode="json")


def test_the_file_says_its_format_and_has_protocols_by_name(written: Path) -> None:
    data = json.loads(written.read_text())
    assert (data["format"], data["version"]) == ("rerank-search-report", 3)
    assert data["systems"][1]["protocols"]["all_positives"]["nDCG@10"] == 1.0


def test_the_file_has_what_its_figures_depend_on(written: Path) -> None:
    data = json.loads(written.read_text())
    assert [system["relevant_from"] for system in data["systems"]] == [1, 1, 1, 1]
    assert data["sbert_at_k"] == 10
    assert data["rerankers"] == {
        "tiny": {"model": "tiny-model", "dtype": "float32", "max_length": 64, "fusion": True}
    }


def test_a_report_of_version_1_is_read(written: Path) -> None:
    data = json.loads(written.read_text()) | {"version": 1}
    del data["sbert_at_k"], data["rerankers"]
    for system in data["systems"]:
        del system["relevant_from"]
    written.write_text(json.dumps(data))
    report = read_report(written)
    assert (report.sbert_at_k, report.rerankers) == (None, {})
    assert {system.relevant_from for system in report.systems} == {None}


def test_a_report_of_version_2_ignored_no_identical_ids(written: Path) -> None:
    data = json.loads(written.read_text()) | {"version": 2}
    for system in data["systems"]:
        del system["ignore_identical_ids"]
    written.write_text(json.dumps(data))
    assert {system.ignore_identical_ids for system in read_report(written).systems} == {False}


def test_a_report_that_is_nested_too_deeply_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(InvalidInputError, match=r"report\.json is nested too deeply"):
        read_report(path)


def test_a_folder_stands_for_the_report_in_it(written: Path) -> None:
    assert read_report(written.parent) == read_report(written)


def test_a_missing_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"report\.json cannot be read"):
        read_report(tmp_path)


@pytest.mark.parametrize("text", ["[1, 2", '{"systems": []}', "[]"])
def test_another_file_is_no_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=re.escape(str(path))):
        read_report(path)


def test_a_newer_version_says_to_upgrade(written: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"has version 4, .* upgrade rerank-search"):
        read_report(changed(written, version=4))


def test_a_damaged_value_is_named_by_its_key(written: Path) -> None:
    with pytest.raises(InvalidInputError, match="primary"):
        read_report(changed(written, primary=None))


def test_the_level_of_significance_is_what_the_confidence_leaves() -> None:
    settings = StatisticsSettings(confidence=0.95)
    assert significant(0.0499, settings)
    assert not significant(0.05, settings)
