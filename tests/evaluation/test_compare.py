from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.compare import compare_reports
from rerank_search.evaluation.comparison import Change, PairChange
from rerank_search.evaluation.report.build import build_report
from rerank_search.evaluation.report.per_query import write_per_query
from rerank_search.evaluation.results import (
    Cell,
    FinishedRun,
    PairCell,
    Protocol,
    RerankerDeclaration,
    StatisticsSettings,
    System,
    Values,
)

QUERIES = tuple(f"q{number}" for number in range(10))
HALF = [0.5] * 10
WORSE = [0.25] * 10
SETTINGS = StatisticsSettings(resamples=1024)


def written(
    folder: Path,
    systems: Mapping[System, Sequence[float]],
    *,
    queries: Sequence[str] = QUERIES,
    measures: Sequence[str] = ("nDCG@10",),
    settings: StatisticsSettings = SETTINGS,
    relevant_from: int = 1,
    rerankers: Mapping[str, RerankerDeclaration] = {},
    pairs: Sequence[PairCell] = (),
) -> Path:
    """A report on one collection; each system's values are the same by every measure."""
    cells = [
        _cell(system, values, queries, measures, relevant_from)
        for system, values in systems.items()
    ]
    run = FinishedRun(
        name=folder.name,
        cells=cells,
        pair_cells=pairs,
        measures=measures,
        primary=measures[0],
        statistics=settings,
        environment={},
        sbert_at_k=10,
        rerankers=rerankers,
        query_texts={},
        qrels={},
        titles=lambda _, ids: ids,
    )
    folder.mkdir()
    write_per_query(folder / "per_query.csv", run)
    (folder / "report.json").write_text(build_report(run).model_dump_json())
    return folder / "report.json"


def _cell(
    system: System,
    column: Sequence[float],
    queries: Sequence[str],
    measures: Sequence[str],
    relevant_from: int,
) -> Cell:
    values: Values = dict.fromkeys(measures, column)
    found: dict[Protocol, Values] = {"first_stage": values}
    if system.reranker is not None:
        first: Values = dict.fromkeys(measures, [0.5] * len(queries))
        found = {"first_stage": first, "retrieved": values, "sbert": {"map": column}}
    return Cell("notes", "test", system, queries, found, {}, [], None, relevant_from)


def classified(n_pairs: int = 4, reranker: str = "tiny", **values: float) -> PairCell:
    return PairCell("items", "test", reranker, n_pairs, 2, values, [], [])


BM25 = System("bm25", 10, None)
DENSE = System("dense", 10, None)
RERANKED = System("bm25", 10, "tiny")


def verdicts(changes: Sequence[Change]) -> dict[tuple[str, str], str]:
    return {(change.system, change.protocol): change.verdict for change in changes}


def test_a_consistent_loss_is_significant(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF})
    after = written(tmp_path / "after", {BM25: WORSE})
    found = compare_reports(before, after)
    assert found.changes == [
        Change(
            collection="notes",
            split="test",
            system="bm25@10",
            protocol="first_stage",
            measure="nDCG@10",
            queries=10,
            left_out=0,
            missing=0,
            before=0.5,
            after=0.25,
            difference=-0.25,
            wins=0,
            ties=0,
            losses=10,
            p=2 / 1024,  # all signs unchanged, or all flipped
            p_holm=2 / 1024,
            verdict="loss",
        )
    ]
    assert found.losses == found.changes


def test_the_other_way_round_it_is_a_gain(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: WORSE})
    found = compare_reports(before, written(tmp_path / "after", {BM25: HALF}))
    assert verdicts(found.changes) == {("bm25@10", "first_stage"): "gain"}
    assert found.losses == []


def test_a_loss_on_one_query_of_ten_is_not_significant(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF})
    after = written(tmp_path / "after", {BM25: [0.0, *HALF[1:]]})
    change = compare_reports(before, after).changes[0]
    assert (change.p, change.verdict) == (1.0, "no significant change")


def test_a_report_against_itself_has_no_change(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF, RERANKED: WORSE})
    changes = compare_reports(report, report).changes
    assert {change.difference for change in changes} == {0.0}
    assert set(verdicts(changes).values()) == {"no significant change"}


def test_what_the_first_stage_decides_is_compared_once(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF, RERANKED: WORSE})
    assert list(verdicts(compare_reports(report, report).changes)) == [
        ("bm25@10", "first_stage"),
        ("bm25@10+tiny", "retrieved"),
    ]


def test_p_values_are_corrected_for_the_rankings_of_one_measure(tmp_path: Path) -> None:
    measures = ("nDCG@10", "MAP")
    once = [0.75, *HALF[1:]]
    before = written(tmp_path / "before", {BM25: HALF, DENSE: HALF}, measures=measures)
    after = written(tmp_path / "after", {BM25: WORSE, DENSE: once}, measures=measures)
    found = compare_reports(before, after)
    for measure in measures:
        assert [change.p_holm for change in found.by(measure)] == [2 * 2 / 1024, 1.0]


def test_what_did_not_change_on_any_query_is_not_corrected_for(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF, RERANKED: HALF, DENSE: HALF})
    after = written(tmp_path / "after", {BM25: HALF, RERANKED: WORSE, DENSE: HALF})
    changes = {change.system: change for change in compare_reports(before, after).changes}
    assert changes["bm25@10+tiny"].p_holm == 2 / 1024
    for name in ("bm25@10", "dense@10"):
        assert (changes[name].ties, changes[name].p, changes[name].p_holm) == (10, 1.0, 1.0)
        assert changes[name].verdict == "no significant change"


def test_another_measure_may_decide(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF}, measures=("nDCG@10", "MAP"))
    after = written(tmp_path / "after", {BM25: WORSE}, measures=("nDCG@10", "MAP"))
    found = compare_reports(before, after, measure="MAP")
    assert [change.measure for change in found.losses] == ["MAP"]


def test_the_measure_that_decides_may_be_spelled_in_any_way(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF}, measures=("MAP", "nDCG@10"))
    assert compare_reports(report, report, measure="ndcg@10").primary == "nDCG@10"


def test_a_measure_that_one_report_lacks_is_an_error(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF}, measures=("MAP", "P@10"))
    after = written(tmp_path / "after", {BM25: HALF}, measures=("nDCG@10", "MAP"))
    with pytest.raises(InvalidInputError, match=r"nDCG@10 is not .*, which share MAP"):
        compare_reports(before, after)


def test_only_the_queries_of_both_are_compared(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: [1.0, 0.0, 0.0]}, queries=("lost", "a", "b"))
    after = written(tmp_path / "after", {BM25: [1.0, 0.0]}, queries=("b", "a"))
    change = compare_reports(before, after).changes[0]
    assert (change.queries, change.left_out) == (2, 1)
    assert (change.before, change.after) == (0.0, 0.5)


def test_queries_that_only_the_earlier_report_has_are_counted_apart(tmp_path: Path) -> None:
    more = written(tmp_path / "more", {BM25: [1.0, 0.0, 0.0]}, queries=("lost", "a", "b"))
    fewer = written(tmp_path / "fewer", {BM25: [1.0, 0.0]}, queries=("b", "a"))
    assert compare_reports(more, fewer).missing_queries == {"notes/test": 1}
    assert compare_reports(fewer, more).missing_queries == {}


def test_reports_without_a_common_query_are_an_error(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: [1.0]}, queries=("a",))
    after = written(tmp_path / "after", {BM25: [1.0]}, queries=("b",))
    with pytest.raises(InvalidInputError, match="no query of notes/test in common"):
        compare_reports(before, after)


def test_rankings_of_one_report_alone_are_listed(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF, RERANKED: HALF})
    found = compare_reports(before, written(tmp_path / "after", {BM25: HALF, DENSE: HALF}))
    assert found.only_before == ["notes/test bm25@10+tiny (retrieved)"]
    assert found.only_after == ["notes/test dense@10 (first stage)"]


def test_reports_without_a_common_ranking_are_an_error(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF})
    after = written(tmp_path / "after", {DENSE: HALF})
    with pytest.raises(InvalidInputError, match=r"no ranking in common: .* notes/test bm25@10,"):
        compare_reports(before, after)


def test_the_later_report_says_how_differences_are_judged(tmp_path: Path) -> None:
    strict = StatisticsSettings(resamples=1024, confidence=0.999)
    before = written(tmp_path / "before", {BM25: HALF})
    after = written(tmp_path / "after", {BM25: WORSE}, settings=strict)
    assert compare_reports(before, after).losses == []
    assert len(compare_reports(before, after, SETTINGS).losses) == 1


def test_a_report_without_its_values_is_an_error(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF})
    (tmp_path / "report" / "per_query.csv").unlink()
    with pytest.raises(InvalidInputError, match=r"per_query\.csv cannot be read"):
        compare_reports(report, report)


def test_values_of_another_run_are_an_error(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF})
    other = written(tmp_path / "other", {BM25: HALF[:9]}, queries=QUERIES[:9])
    other.with_name("per_query.csv").replace(report.with_name("per_query.csv"))
    with pytest.raises(InvalidInputError, match=r"9 values of nDCG@10 .* 10 queries"):
        compare_reports(report, report)


def test_values_of_another_run_on_as_many_queries_are_an_error(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF})
    other = written(tmp_path / "other", {BM25: WORSE})
    values = report.with_name("per_query.csv")
    other.with_name("per_query.csv").replace(values)
    with pytest.raises(InvalidInputError, match=r"mean 0\.25, but .* has 0\.5:") as raised:
        compare_reports(report, report)
    assert str(values) in str(raised.value)
    assert str(report) in str(raised.value)


def test_a_report_of_a_newer_version_is_an_error(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF})
    report.write_text(json.dumps(json.loads(report.read_text()) | {"version": 9}))
    with pytest.raises(InvalidInputError, match="version 9"):
        compare_reports(report, report)


def test_a_report_that_is_nested_too_deeply_is_an_error(tmp_path: Path) -> None:
    report = written(tmp_path / "report", {BM25: HALF})
    report.write_text("[" * 100_000)
    with pytest.raises(InvalidInputError, match="nested too deeply"):
        compare_reports(report, report)


def test_what_was_set_in_another_way_is_noted(tmp_path: Path) -> None:
    old = {
        "tiny": RerankerDeclaration("one", "float32", None, True),
        "same": RerankerDeclaration("one", "float32", 64, True),
        "gone": RerankerDeclaration("one", "float32", 64, True),
    }
    new = {
        "tiny": RerankerDeclaration("two", "bfloat16", 256, False),
        "same": RerankerDeclaration("two", "float32", 64, True),
    }
    before = written(tmp_path / "before", {BM25: HALF}, rerankers=old, pairs=[classified(4)])
    after = written(
        tmp_path / "after", {BM25: HALF}, rerankers=new, relevant_from=2, pairs=[classified(5)]
    )
    assert compare_reports(before, after).notes == [
        "notes/test: relevant_from is 1 before and 2 after",
        "tiny: dtype is float32 before and bfloat16 after",
        "tiny: max_length is None before and 256 after",
        "tiny: fusion is True before and False after",
        "items/test tiny (pairs): n_pairs is 4 before and 5 after",
    ]
    assert compare_reports(before, before).notes == []


def test_what_a_report_of_version_1_does_not_say_is_not_noted(tmp_path: Path) -> None:
    before = written(tmp_path / "before", {BM25: HALF})
    data = json.loads(before.read_text()) | {"version": 1}
    del data["rerankers"], data["sbert_at_k"], data["systems"][0]["relevant_from"]
    before.write_text(json.dumps(data))
    declared = {"tiny": RerankerDeclaration("one", "float32", None, True)}
    after = written(tmp_path / "after", {BM25: HALF}, relevant_from=2, rerankers=declared)
    found = compare_reports(before, after)
    assert (found.notes, len(found.changes)) == ([], 1)


def test_labelled_pairs_are_listed_without_a_verdict(tmp_path: Path) -> None:
    old = [classified(f1=0.75, f1_threshold=0.1), classified(reranker="gone", f1=1.0)]
    before = written(tmp_path / "before", {}, pairs=old)
    after = written(tmp_path / "after", {}, pairs=[classified(f1=0.5, f1_threshold=0.2)])
    found = compare_reports(before, after)
    assert found.pairs == [PairChange("items", "test", "tiny", "f1", 0.75, 0.5, -0.25)]
    assert (found.changes, found.losses) == ([], [])
    assert found.only_before == ["items/test gone (pairs)"]
