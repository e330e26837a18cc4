from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A BEIR folder ``small`` in the working directory, with a cache beside it."""
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
    (folder / "small/qrels").mkdir(parents=True)
    corpus = [{"_id": "d1", "text": "join the paths"}, {"_id": "d2", "text": "a boat on the sea"}]
    queries = [{"_id": "q1", "text": "boat"}, {"_id": "q2", "text": "paths"}]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"small/{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "small/qrels/dev.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td1\t1\n"
    )
    return folder / "small"


@pytest.fixture
def experiment(small: Path, tiny_encoder: Path, tiny_reranker: Path) -> Path:
    path = small.parent / "tiny.toml"
    path.write_text(
        f"""
        candidates = [2]
        cost_queries = 1
        rerankers = [{{ model = "{tiny_reranker}", name = "tiny" }}]
        index = {{ encoder = "{tiny_encoder}" }}
        statistics = {{ resamples = 100 }}
        collections = [{{ path = "small", split = "dev" }}]
        """
    )
    return path


@pytest.mark.slow
def test_an_experiment_is_run_and_reported(run, experiment, folder):
    result = run("evaluate", str(experiment))
    assert result.exit_code == 0, result.output
    assert "small/dev" in result.stdout
    assert "small/dev, 2 queries" in result.stdout
    assert result.stdout.split().count("+tiny") == 3
    assert "runs/evaluation/tiny/report.html" in result.stderr
    written = {path.name for path in (folder / "runs/evaluation/tiny").iterdir()}
    assert {"report.json", "report.md", "report.html", "per_query.csv", "runs"} <= written


@pytest.mark.slow
def test_json_is_the_report(answer, experiment, folder):
    printed = answer("evaluate", str(experiment), "--output", "out")
    assert printed == json.loads((folder / "out/report.json").read_text())
    assert printed["systems"][0]["protocols"]["first_stage"]["nDCG@10"] == 1.0


def test_a_collection_is_evaluated_without_a_file(run, small, tiny_reranker, folder):
    run_file = folder / "mine.trec"
    run_file.write_text("q1 Q0 d1 1 2.0 x\nq1 Q0 d2 2 1.0 x\n")
    result = run(
        *("evaluate", "small", "--split", "dev", "--first-stage", "bm25", "--candidates", "5"),
        *("--reranker", str(tiny_reranker), "--run", "mine.trec", "--measure", "mrr@10"),
        *("--cost-queries", "0", "--output", "out"),
    )
    assert result.exit_code == 0, result.output
    report = json.loads((folder / "out/report.json").read_text())
    label = tiny_reranker.name
    assert [system["name"] for system in report["systems"]] == [
        "mine@5",
        "bm25@5",
        f"mine@5+{label}",
        f"bm25@5+{label}",
    ]
    assert report["primary"] == "MRR@10"
    assert report["systems"][0]["protocols"]["first_stage"]["MRR@10"] == 0.25


def test_a_retriever_of_the_current_folder_is_measured(run, small, folder):
    (folder / "mine_of_this_folder.py").write_text(
        "from rerank_search import Document, Hit\n"
        "class Mine:\n"
        "    name = 'mine'\n"
        "    def retrieve(self, queries, k, *, filter=None):\n"
        "        return [[Hit('d2', 1.0, 1, Document('d2', 'a boat'))] for _ in queries]\n"
    )
    path = list(sys.path)
    asked = ("evaluate", "small", "--split", "dev", "--cost-queries", "0", "--output", "out")
    result = run(*asked, "--first-stage", "mine_of_this_folder:Mine")
    assert result.exit_code == 0, result.output
    assert "mine_of_this_folder:Mine@100" in result.stdout
    report = json.loads((folder / "out/report.json").read_text())
    assert report["systems"][0]["protocols"]["first_stage"]["MRR@10"] == 0.5
    assert sys.path == path
    del sys.modules["mine_of_this_folder"]


def test_a_query_that_is_a_document_is_warned_of_and_left_out_on_request(run, answer, small):
    (small / "queries.jsonl").write_text(
        '{"_id": "d1", "text": "Join the paths!"}\n{"_id": "q1", "text": "boat"}\n'
    )
    (small / "qrels/dev.tsv").write_text("d1\td2\t1\nq1\td2\t1\n")
    asked = ("evaluate", "small", "--split", "dev", "--first-stage", "bm25", "--cost-queries", "0")
    result = run(*asked)
    assert result.exit_code == 0, result.output
    assert "1 queries are documents of the corpus" in result.stderr
    [system] = answer(*asked, "--ignore-identical-ids")["systems"]
    assert system["ignore_identical_ids"] is True
    assert "their own document is left out of their rankings" in system["warnings"][0]


@pytest.mark.parametrize("name", ["[red]x", ":boat:"])
def test_names_and_ids_are_printed_as_they_are(run, small, folder, name):
    small.rename(folder / name)
    with (folder / name / "qrels/dev.tsv").open("a") as file:
        file.write("[/]\td1\t1\n")
    (folder / f"{name}.trec").write_text("q1 Q0 d1 1 2.0 x\n")
    result = run(
        *("evaluate", name, "--split", "dev", "--first-stage", "bm25", "--run", f"{name}.trec"),
        *("--cost-queries", "0", "--output", "out"),
    )
    assert result.exit_code == 0, result.output
    assert f"{name}/dev" in result.stdout
    assert f"{name}@100" in result.stdout
    assert "query '[/]'" in result.stderr


def test_long_names_are_folded_and_figures_are_whole_in_a_pipe(run, small, folder):
    name = 80 * "x"
    small.rename(folder / name)
    (folder / f"{name}.trec").write_text("q1 Q0 d2 1 2.0 x\n")
    result = run(
        *("evaluate", name, "--split", "dev", "--first-stage", "bm25", "--run", f"{name}.trec"),
        *("--cost-queries", "0", "--output", "out"),
    )
    assert result.exit_code == 0, result.output
    assert "…" not in result.stdout
    assert result.stdout.count("0.5000") == 3  # one of two queries: MAP, MRR@10 and nDCG@10
    assert result.stdout.count("x") == 2 * 80  # the collection and the run


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["small", "--split", "tset"], 2, "no split 'tset': it has dev"),
        (["nowhere"], 2, "nowhere"),
        (["small", "--split", "dev", "--first-stage", "bm52"], 2, "first_stages.0"),
        (["small", "--split", "dev", "--first-stage", "no_such:x"], 2, "no module 'no_such'"),
        (["small", "--split", "dev", "--first-stage", "json:x"], 2, "has no 'x'"),
        (["small", "--split", "dev", "--first-stage", "this:s.x"], 2, "write module:object"),
        (["small", "--split", "dev", "--measure", "ncdg@10"], 2, "ncdg@10"),
        (["small", "--split", "dev", "--candidates", "0"], 2, "candidates"),
        (["small", "--split", "dev", "--dtype", "int3", "--reranker", "x"], 2, "dtype"),
        (["small", "--split", "dev", "--reranker", "no/where/at/all"], 1, "no/where/at/all"),
        (["tiny.toml", "--split", "dev"], 2, "be used with an experiment"),
        (["small", "--split", "dev", "--dtype", "float16"], 2, "--dtype is the precision of"),
        (["small", "--run", "a.trec", "--run", "b/a.trec"], 2, "run files have the name 'a'"),
        (["small", "--reranker", ".."], 2, "the reranker '..': the name '..' means"),
        (["missing.toml"], 2, "missing.toml cannot be read"),
        ([], 2, "Missing argument"),
    ],
)
def test_a_mistake_is_named(called, experiment, arguments, code, message):
    result = called("evaluate", *arguments, RERANK_SEARCH_OFFLINE="1")
    assert result.returncode == code, result.stderr
    assert message in result.stderr
