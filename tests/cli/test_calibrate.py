from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rerank_search.models.registry import resolve_reranker

FILES = {"calibration.json", "fusion.json", "reliability.svg"}


@pytest.fixture
def small(notes: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of judgements of the documents in indexes/notes."""
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(folder / "cache"))
    (folder / "small/qrels").mkdir(parents=True)
    (folder / "small/corpus.jsonl").write_text('{"_id": "join", "text": "join two paths"}\n')
    queries = [{"_id": "q1", "text": "join two"}, {"_id": "q2", "text": "a path split in two"}]
    (folder / "pairs.csv").write_text("text1,text2,label\njoin,two,1\njoin,three,0\n")
    lines = "".join(json.dumps(query) + "\n" for query in queries)
    (folder / "small/queries.jsonl").write_text(lines)
    (folder / "small/qrels/dev.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\tjoin\t1\nq2\tsplit\t1\n"
    )
    return folder / "small"


@pytest.fixture
def model(folder: Path, tiny_reranker: Path) -> Path:
    return Path(shutil.copytree(tiny_reranker, folder / "model"))


@pytest.mark.slow
def test_a_model_is_calibrated_in_its_folder_and_searches_show_it(run, answer, model, small):
    result = run("calibrate", "model", "small", "--index", "indexes/notes")
    assert result.exit_code == 0, result.output
    assert "Brier score" in result.stdout
    assert "model has calibration.json, fusion.json, reliability.svg" in result.stderr
    assert {path.name for path in model.iterdir()} >= FILES

    hits = answer("search", "notes", "join two paths", "--reranker", "model")["hits"]
    assert all(0 <= hit["relevance"] <= 1 for hit in hits)
    plain = answer("search", "notes", "join two paths", "--reranker", "model", "--no-fusion")
    assert {hit["relevance"] for hit in plain["hits"]} == {None}


def test_the_files_go_where_output_says_and_json_is_the_calibration(answer, model, small, folder):
    printed = answer(
        *("calibrate", "model", "small", "--index", "indexes/notes", "--no-fusion"),
        *("--method", "isotonic", "--output", "out"),
    )
    assert printed == json.loads((folder / "out/calibration.json").read_text())
    assert printed["curve"]["method"] == "isotonic"
    assert printed["fitted_on"]["first_stage"] == "bm25"
    assert {path.name for path in (folder / "out").iterdir()} == FILES - {"fusion.json"}
    assert not FILES & {path.name for path in model.iterdir()}


@pytest.mark.parametrize("bundled", ["rerank-search-base", resolve_reranker("rerank-search-base")])
def test_nothing_is_written_into_the_installed_package(run, small, bundled):
    file = Path(resolve_reranker("rerank-search-base")) / "calibration.json"
    before = file.read_bytes()
    result = run("calibrate", bundled, "small", "--index", "indexes/notes")
    assert "with --output" in str(result.exception)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["model", "small", "--split", "tset"], 2, "no split 'tset': it has dev"),
        (["model", "small", "--index", "indexes/notes", "--candidates", "0"], 2, "candidates"),
        (["model", "small", "--method", "beta"], 2, "beta"),
        (["model", "small", "--index", "indexes/notes", "--first-stage", "dense"], 2, "'dense'"),
        (["model", "small", "--index", "indexes/notes", "--queries", "1"], 2, "two are needed"),
        (["model", "small", "--output", "small/queries.jsonl"], 2, "cannot be used as a path"),
        (["model", "pairs.csv"], 2, "give a BEIR folder"),
        (["no/where", "small"], 2, "no/where is not a folder"),
        (["no/where", "small", "--output", "out"], 1, "no/where"),
        (["model"], 2, "Missing argument"),
        (["model", "small", "--keep-fusion"], 2, "--keep-fusion: model has no fusion.json"),
        (["model", "small", "--keep-fusion", "--no-fusion"], 2, "exclude each other"),
    ],
)
def test_a_mistake_is_named(called, model, small, arguments, code, message):
    result = called("calibrate", *arguments, RERANK_SEARCH_OFFLINE="1")
    assert result.returncode == code, result.stderr
    assert message in result.stderr


def test_one_index_is_not_that_of_two_collections(run, model, small, folder):
    shutil.copytree(small, folder / "other")
    result = run("calibrate", "model", "small", "other", "--index", "indexes/notes")
    assert "the documents of one collection, but 2 are given" in str(result.exception)


def test_an_index_of_other_documents_is_refused(run, model, small, folder):
    judged = folder / "small/qrels/dev.tsv"
    judged.write_text("query-id\tcorpus-id\tscore\nq1\tx1\t1\nq2\tx2\t1\nq2\tjoin\t1\n")
    result = run("calibrate", "model", "small", "--index", "indexes/notes")
    assert "has only 1 of the 3 documents that are relevant" in str(result.exception)
    assert not FILES & {path.name for path in model.iterdir()}


@pytest.mark.slow
def test_a_fusion_that_is_kept_ranks_as_before(run, model, small):
    run("calibrate", "model", "small", "--index", "indexes/notes")
    before = (model / "fusion.json").read_bytes()
    result = run("calibrate", "model", "small", "--index", "indexes/notes", "--keep-fusion")
    assert result.exit_code == 0, result.output
    assert (model / "fusion.json").read_bytes() == before
