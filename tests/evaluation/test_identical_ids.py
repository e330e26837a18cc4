"""A collection whose queries are documents, like ArguAna."""

from __future__ import annotations

import json
from math import log2
from pathlib import Path

import pytest

from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.compare import compare_reports
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment, load_experiment
from rerank_search.judged.formats.runs import read_run

DOCUMENTS = {
    "1": ("transport", "The boat on the river is old and slow."),
    "2": ("", "the boat on the river is new and fast"),
    "3": ("", "the boat on the sea"),
    "4": ("", "bread and cheese in the kitchen"),
}
# "1" is a document; "4" is by chance also the id of a document.
QUERIES = {"1": "the boat on the river is old and slow", "4": "boat on the sea"}
QRELS = [("1", "2", 1), ("4", "3", 1)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))


def write(folder: Path, qrels: list[tuple[str, str, int]]) -> Path:
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": id, "title": a, "text": b} for id, (a, b) in DOCUMENTS.items()]
    queries = [{"_id": id, "text": text} for id, text in QUERIES.items()]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels/test.tsv").write_text("".join(f"{q}\t{d}\t{g}\n" for q, d, g in qrels))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "arguments", QRELS)


def experiment(folder: Path, reranker: Path | None = None, **collection) -> Experiment:
    return Experiment.model_validate(
        {
            "collections": [{"path": str(folder), **collection}],
            "first_stages": ["bm25"],
            "candidates": [3],
            "measures": ["nDCG@3", "MAP", "MRR@3"],
            "rerankers": [] if reranker is None else [{"model": str(reranker), "name": "tiny"}],
            "cost_queries": 0,
            "statistics": {"resamples": 100},
        }
    )


def test_a_query_that_is_a_document_is_warned_of_and_counts(folder, tmp_path) -> None:
    [system] = evaluate(experiment(folder), tmp_path / "out").systems
    assert system.warnings == [
        "1 queries are documents of the corpus and count as their own results: set "
        "ignore_identical_ids to leave them out, as BEIR does (first: query '1')"
    ]
    # Query "1" finds itself first, and the relevant document second; "4" finds its document first.
    means = system.protocols["first_stage"]
    assert means["nDCG@3"] == pytest.approx((1 / log2(3) + 1) / 2)
    assert means["MRR@3"] == means["MAP"] == 0.75
    assert not system.ignore_identical_ids


def test_ignored_it_is_in_no_ranking_of_any_protocol(folder, tiny_reranker, tmp_path) -> None:
    chosen = experiment(folder, tiny_reranker, ignore_identical_ids=True)
    alone, reranked = evaluate(chosen, tmp_path / "out").systems
    assert alone.protocols["first_stage"] == {"nDCG@3": 1.0, "MAP": 1.0, "MRR@3": 1.0}
    assert reranked.protocols["sbert"]["base_mrr@10"] == 1.0
    runs = sorted((tmp_path / "out/runs/arguments/test").iterdir())
    assert len(runs) == 3
    for path in runs:
        found = read_run(path)
        # There is a full number of candidates: the document was left out before cutting.
        assert {query: set(scores) for query, scores in found.items()} == {
            "1": {"2", "3", "4"} & set(found["1"]),
            "4": {"1", "2", "3"},
        }
        assert {"2", "3"} <= set(found["1"])
    assert alone.ignore_identical_ids
    assert alone.warnings == [
        "1 queries are documents of the corpus: their own document is left out of their rankings "
        "(first: query '1')",
        "1 queries have the id of a document with another text: it is left out too, because "
        "ignore_identical_ids compares only ids (first: query '4')",
    ]


def test_its_own_document_stays_missed_where_it_is_judged_relevant(tiny_reranker, tmp_path) -> None:
    folder = write(tmp_path / "arguments", [("1", "1", 1), *QRELS])
    chosen = experiment(folder, tiny_reranker, ignore_identical_ids=True)
    alone, reranked = evaluate(chosen, tmp_path / "out").systems
    assert (
        "1 queries whose own document is judged relevant: it is left out, and counts as missed "
        "(first: qrels/test.tsv, line 1: document '1')"
    ) in alone.warnings
    # Query "1" has two positives, of which "2" can be found.
    assert alone.protocols["first_stage"]["MAP"] == (1 / 2 + 1) / 2
    assert reranked.protocols["all_positives"]["MAP"] <= (1 / 2 + 1) / 2


def test_a_cell_is_computed_again_when_the_switch_is_set(folder, tmp_path) -> None:
    before = evaluate(experiment(folder), tmp_path / "out")
    after = evaluate(experiment(folder, ignore_identical_ids=True), tmp_path / "out")
    assert after.systems[0].protocols["first_stage"] != before.systems[0].protocols["first_stage"]


def test_compare_says_that_only_one_report_ignores_them(folder, tmp_path) -> None:
    evaluate(experiment(folder), tmp_path / "before")
    evaluate(experiment(folder, ignore_identical_ids=True), tmp_path / "after")
    assert compare_reports(tmp_path / "before", tmp_path / "after").notes == [
        "arguments/test: ignore_identical_ids is False before and True after"
    ]


def test_a_run_without_documents_is_looked_at_too(tmp_path) -> None:
    (tmp_path / "qrels.txt").write_text("1 0 2 1\n4 0 3 1\n")
    (tmp_path / "mine.trec").write_text(
        "1 Q0 1 1 9.0 x\n1 Q0 2 2 8.0 x\n4 Q0 2 1 7.0 x\n4 Q0 3 2 6.0 x\n"
    )
    (tmp_path / "trec.toml").write_text(
        """
        measures = ["MRR@3"]
        cost_queries = 0
        [[collections]]
        qrels = "qrels.txt"
        runs = { mine = "mine.trec" }
        """
    )
    declared = load_experiment(tmp_path / "trec.toml")
    [system] = evaluate(declared, tmp_path / "out").systems
    assert system.protocols["first_stage"]["MRR@3"] == 0.5
    assert "1 queries are documents of the corpus" in system.warnings[0]
    (tmp_path / "trec.toml").write_text(
        (tmp_path / "trec.toml").read_text() + "ignore_identical_ids = true\n"
    )
    declared = load_experiment(tmp_path / "trec.toml")
    [system] = evaluate(declared, tmp_path / "out").systems
    assert system.protocols["first_stage"]["MRR@3"] == 0.75


def test_a_switch_that_changes_nothing_is_said(tmp_path, beir) -> None:
    [system] = evaluate(experiment(beir, ignore_identical_ids=True), tmp_path / "out").systems
    assert (
        "no query has the id of a document, so ignore_identical_ids has no effect"
        in system.warnings
    )


def test_samples_have_no_ids_to_be_identical(tmp_path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"query": "boat", "positive": "a boat", "documents": ["a boat"]}\n')
    chosen = experiment(path, ignore_identical_ids=True).model_copy(update={"first_stages": []})
    with pytest.raises(InvalidInputError, match="ignore_identical_ids has no effect"):
        evaluate(chosen, tmp_path / "out")
