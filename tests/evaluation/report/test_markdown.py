from __future__ import annotations

from collections.abc import Callable

from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.markdown import markdown
from rerank_search.evaluation.results import Cell, FinishedRun, StatisticsSettings


def rows(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_first_table_has_every_stage_with_its_interval(finished: FinishedRun) -> None:
    text = markdown(build_report(finished))
    low, high = build_report(finished).systems[1].intervals["retrieved"]["nDCG@10"]
    first = rows(text, "| bm25@10+tiny |")[0]
    cells = [cell.strip() for cell in first.split("|")[1:-1]]
    assert cells[2] == f"0.833 [{low:.3f}, {high:.3f}]"
    assert cells[3:] == ["1.000 [1.000, 1.000]", "1.000 [1.000, 1.000]", "3"]
    assert text.index(first) < text.index("all measures")


def test_only_a_significant_change_is_marked(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    queries = [f"q{number}" for number in range(10)]
    zeros, ones = {"nDCG@10": [0.0] * 10}, {"nDCG@10": [1.0] * 10}
    found = {"first_stage": zeros, "oracle": ones, "retrieved": ones, "all_positives": ones}
    lost = found | {"first_stage": ones, "retrieved": zeros}
    settings = StatisticsSettings(resamples=1024)
    for values, mark in ((found, "▲"), (lost, "▼")):
        cells = [cell(10, "tiny", queries=queries, values=values)]
        text = markdown(build_report(run(cells, measures=["nDCG@10"], statistics=settings)))
        assert f"] {mark} |" in rows(text, "| bm25@10+tiny |")[0]
    unmarked = markdown(build_report(run([cell(10, "tiny")])))
    assert not any("▲" in row or "▼" in row for row in rows(unmarked, "|"))


def test_there_is_a_table_of_each_kind(finished: FinishedRun) -> None:
    text = markdown(build_report(finished))
    assert "| bm25@10+tiny | all positives | 1.000 | 0.200 |" in text
    assert "| bm25@10+tiny | bm25@10 | +0.333 " in text
    assert "| bm25@10+tiny | 0.8000 | 0.5000 |" in text
    assert "| 10.0 / 20.0 / 30.0 | 12.0 / 24.0 / 36.0 | 1,000 | 12.5% | 5.0 MB | – | 20 |" in text
    assert "| items/test | tiny | 4 (2 positive) | 0.7500 | 0.8750 |" in text
    assert "docs/measures.md" in text
    assert "- python: 3.11" in text


def test_quality_is_set_against_cost_fastest_first(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    cells = [cell(depth, reranker) for depth in (20, 10) for reranker in ("tiny", None)]
    text = markdown(build_report(run(cells)))
    table = text[text.index("fastest first:") :]
    assert rows(table, "| bm25")[:4] == [
        "| bm25@20 | 0.500 | 2.0 | 4.0 | yes |",
        "| bm25@10 | 0.500 | 2.0 | 4.0 |  |",
        "| bm25@10+tiny | 0.833 | 12.0 | 24.0 | yes |",
        "| bm25@20+tiny | 0.833 | 22.0 | 44.0 |  |",
    ]
    assert "fastest first" not in markdown(build_report(run([cell(10, "tiny", cost=None)])))


def test_the_family_that_holms_correction_is_over_is_said(finished: FinishedRun) -> None:
    text = markdown(build_report(finished))
    assert "one family: all pairs of rankings of this collection at one depth by this mea" in text


def test_a_warning_of_all_systems_of_a_collection_is_said_once(finished: FinishedRun) -> None:
    text = markdown(build_report(finished))
    assert rows(text, "- notes/test") == [
        "- notes/test: 1 query has no text (first: queries.jsonl, line 3)"
    ]
    assert "- items/test, tiny: 1 pair is empty" in text


def test_a_warning_of_one_system_names_it(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    cells = [cell(10, None, warnings=[]), cell(10, "tiny", warnings=["2 pairs were cut"])]
    text = markdown(build_report(run(cells)))
    assert "- notes/test, bm25@10+tiny: 2 pairs were cut" in text


def test_no_text_of_the_collection_is_in_it(finished: FinishedRun) -> None:
    report = build_report(finished)
    for text in (markdown(report), report.model_dump_json()):
        assert "question" not in text
        assert "title of" not in text


def test_names_have_no_meaning_as_markdown(
    cell: Callable[..., Cell], run: Callable[..., FinishedRun]
) -> None:
    text = markdown(build_report(run([cell(10, "a|b<c>*")])))
    assert "| bm25@10+a\\|b\\<c>\\* |" in text
