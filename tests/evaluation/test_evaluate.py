from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rerank_search import Document, Index
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation import evaluate as module
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment
from rerank_search.evaluation.formats.documents import documents_in


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def experiment(beir, tiny_encoder, tiny_reranker):
    """Makes an experiment on the small collection; its settings may be replaced."""

    def make(**settings) -> Experiment:
        defaults = {
            "collections": [str(beir)],
            "first_stages": ["bm25", "hybrid"],
            "candidates": [2, 5],
            "rerankers": [{"model": str(tiny_reranker), "name": "tiny"}],
            "index": {"encoder": str(tiny_encoder)},
            "cost_queries": 0,
            "statistics": {"resamples": 100},
        }
        return Experiment.model_validate(defaults | settings)

    return make


def test_every_combination_is_one_system(experiment, tmp_path):
    report = evaluate(experiment(), tmp_path / "out")
    assert [system.name for system in report.systems] == [
        "bm25@2",
        "bm25@5",
        "hybrid@2",
        "hybrid@5",
        "bm25@2+tiny",
        "bm25@5+tiny",
        "hybrid@2+tiny",
        "hybrid@5+tiny",
    ]
    assert {system.n_queries for system in report.systems} == {4}
    assert report.primary == "nDCG@10"
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert written["systems"][4]["protocols"].keys() == {
        "first_stage",
        "retrieved",
        "all_positives",
        "oracle",
        "sbert",
    }
    runs = {path.name for path in (tmp_path / "out/runs/small-test").iterdir()}
    assert {"bm25@2.first_stage.trec", "hybrid@5+tiny.all_positives.trec"} <= runs


def test_the_same_experiment_twice_gives_the_same_figures(experiment, tmp_path):
    one = evaluate(experiment(), tmp_path / "one")
    other = evaluate(experiment(), tmp_path / "other")
    assert [system.protocols for system in one.systems] == [
        system.protocols for system in other.systems
    ]
    assert one.comparisons == other.comparisons


def test_a_finished_cell_is_not_computed_again(experiment, tmp_path, monkeypatch):
    first = evaluate(experiment(), tmp_path / "out")
    computed: list[str] = []
    real = module.evaluate_cell

    def noticed(collection, index, system, *rest, **options):
        computed.append(system.name)
        return real(collection, index, system, *rest, **options)

    monkeypatch.setattr(module, "evaluate_cell", noticed)
    again = evaluate(experiment(), tmp_path / "out")
    assert computed == []
    assert again.systems == first.systems
    evaluate(experiment(candidates=[2, 5, 9]), tmp_path / "out")
    assert computed == ["bm25@9", "hybrid@9", "bm25@9+tiny", "hybrid@9+tiny"]


@pytest.mark.parametrize("change", ["qrels", "queries", "corpus", "cell"])
def test_a_cell_is_computed_again_when_what_it_was_made_of_has_changed(
    experiment, beir, tmp_path, monkeypatch, change
):
    evaluate(experiment(rerankers=[]), tmp_path / "out")
    if change == "qrels":
        path = beir / "qrels/test.tsv"
        path.write_text(path.read_text().replace("q1\tjoin\t2", "q1\tjoin\t1"))
    elif change == "cell":
        for path in (tmp_path / "out/cells").iterdir():
            path.write_text(path.read_text()[:-20])
    else:
        path = beir / f"{'queries' if change == 'queries' else 'corpus'}.jsonl"
        path.write_text(path.read_text().replace("music", "violin"))
    computed: list[str] = []
    real = module.evaluate_cell
    monkeypatch.setattr(
        module, "evaluate_cell", lambda *a, **k: computed.append(a[2].name) or real(*a, **k)
    )
    evaluate(experiment(rerankers=[]), tmp_path / "out")
    assert len(computed) == 4


def test_a_killed_run_goes_on(experiment, beir, tiny_encoder, tiny_reranker, tmp_path, cache):
    arguments = experiment().model_dump_json()
    script = (
        "import sys; from pathlib import Path\n"
        "from rerank_search.evaluation.evaluate import evaluate\n"
        "from rerank_search.evaluation.experiment import Experiment\n"
        "evaluate(Experiment.model_validate_json(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", script, arguments, str(out)], env=dict(os.environ)
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and not list(out.glob("cells/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "report.json").exists()

    report = evaluate(experiment(), out)
    undisturbed = evaluate(experiment(), tmp_path / "undisturbed")
    assert [system.protocols for system in report.systems] == [
        system.protocols for system in undisturbed.systems
    ]
    for path in (tmp_path / "undisturbed/runs/small-test").iterdir():
        assert (out / "runs/small-test" / path.name).read_text() == path.read_text()


def test_costs_are_measured_beside_the_figures(experiment, tmp_path):
    report = evaluate(experiment(cost_queries=2, candidates=[5]), tmp_path / "out")
    for system in report.systems:
        assert system.cost is not None
        assert system.cost.queries == 2
        assert (system.cost.pairs_per_second is None) == (system.reranker is None)


def test_judgements_of_missing_documents_are_counted_and_located(experiment, beir, tmp_path):
    with (beir / "qrels/test.tsv").open("a") as file:
        file.write("q2\tghost\t1\nq3\tphantom\t0\n")
    report = evaluate(experiment(rerankers=[], candidates=[5]), tmp_path / "out")
    [warning] = report.systems[0].warnings
    assert warning == (
        "2 judgements of documents that are not in the corpus, 1 of them relevant, which count as "
        "missed (first: qrels/test.tsv, line 9: document 'ghost')"
    )
    # The denominator of q2 has grown from 2 positives to 3.
    reading = report.systems[0].protocols["oracle"]["R@100"]
    assert reading < 1


def test_ids_that_a_run_file_cannot_express_are_no_reason_to_stop(experiment, beir, tmp_path):
    for name in ("corpus.jsonl", "qrels/test.tsv"):
        path = beir / name
        path.write_text(path.read_text().replace("join\t", "jo in\t").replace('"join"', '"jo in"'))
    report = evaluate(experiment(candidates=[5]), tmp_path / "out")
    assert "no run files are written: the document id 'jo in'" in report.systems[0].warnings[0]
    assert report.systems[0].protocols["first_stage"]["R@100"] > 0
    assert not (tmp_path / "out/runs/small-test").exists()


def test_samples_are_reranked_as_they_are_given(experiment, tmp_path):
    path = tmp_path / "samples.jsonl"
    lines = [
        {"query": "read lines", "positive": "read the lines", "documents": ["a", "read the lines"]},
        {"query": "boat", "positive": ["a boat"], "documents": ["the bread", "a song"]},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = evaluate(experiment(collections=[str(path)], candidates=[10]), tmp_path / "out")
    assert [system.name for system in report.systems] == ["given@10", "given@10+tiny"]
    reranked = report.systems[1].protocols
    assert reranked["first_stage"]["MRR@10"] == 0.25
    assert reranked["oracle"]["MRR@10"] == 0.5
    assert reranked["sbert"]["base_mrr@10"] == 0.25


def test_sbert_figures_of_samples_are_those_of_its_evaluator(experiment, tiny_reranker, tmp_path):
    from sentence_transformers import CrossEncoder
    from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator

    samples = [
        {"query": "read lines", "positive": ["read the lines"], "documents": ["a", "a", "song"]},
        {"query": "boat", "positive": ["a boat", "a boat"], "documents": ["bread", "a boat"]},
        {"query": "king", "positive": "the king", "documents": ["the king", "old", "the king"]},
        {"query": "long", "positive": ["bread"], "documents": ["a b " * 90 + "bread", "bread"]},
    ]
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    report = evaluate(experiment(collections=[str(path)]), tmp_path / "out")
    found = report.systems[-1].protocols["sbert"]
    model = CrossEncoder(str(tiny_reranker), device="cpu")
    for prefix, always in (("", True), ("retrieved_", False)):
        expected = CrossEncoderRerankingEvaluator(
            samples=samples, always_rerank_positives=always, write_csv=False
        )(model)
        for key in ("map", "mrr@10", "ndcg@10"):
            assert found[prefix + key] == pytest.approx(expected[key], abs=1e-9)
            assert found["base_" + key] == pytest.approx(expected["base_" + key], abs=1e-9)


def test_samples_with_negatives_have_no_base(experiment, tmp_path):
    path = tmp_path / "negatives.jsonl"
    samples = [
        {"query": "read lines", "positive": ["read the lines"], "negative": ["a", "song"]},
        {"query": "boat", "positive": [], "negative": ["bread", "a boat"]},
    ]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    report = evaluate(experiment(collections=[str(path)]), tmp_path / "out")
    assert report.systems[-1].protocols["sbert"].keys() == {"map", "mrr@10", "ndcg@10"}
    assert any("negatives in place of" in warning for warning in report.systems[-1].warnings)


def test_labelled_pairs_are_classified(experiment, tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "dev.csv").write_text(
        "text1,text2,label\na boat,the boat,1\na boat,bread,0\na song,a song,1\n"
    )
    settings = {"collections": [{"path": str(folder), "split": "dev"}]}
    report = evaluate(experiment(**settings), tmp_path / "out")
    [pairs] = report.pairs
    assert (pairs.n_pairs, pairs.n_positive, pairs.reranker) == (3, 2, "tiny")
    assert 0 < pairs.values["average_precision"] <= 1
    with pytest.raises(InvalidInputError, match="only a reranker can classify"):
        evaluate(experiment(**settings, rerankers=[]), tmp_path / "other")


def test_an_index_that_exists_is_searched_as_it_is(experiment, beir, cache, tmp_path):
    with Index.create(tmp_path / "mine", encoder=None, passages=None) as mine:
        mine.add(documents_in(beir / "corpus.jsonl"))
        mine.delete(["violin"])
    settings = {"collections": [{"path": str(beir), "index": str(tmp_path / "mine")}]}
    settings |= {"first_stages": [], "rerankers": [], "candidates": [5]}
    report = evaluate(experiment(**settings), tmp_path / "out")
    assert [system.name for system in report.systems] == ["bm25@5"]
    assert "1 judgements of documents that are not in the corpus" in report.systems[0].warnings[0]
    assert not (cache / "indexes").exists()

    with Index.open(tmp_path / "mine") as mine:
        mine.add([Document("violin", "music song")])
    again = evaluate(experiment(**settings), tmp_path / "out")
    assert not again.systems[0].warnings
    better = again.systems[0].protocols["first_stage"]["MAP"]
    assert better > report.systems[0].protocols["first_stage"]["MAP"]


def test_two_collections_of_one_name_are_refused(experiment, beir, tmp_path):
    with pytest.raises(InvalidInputError, match="two collections are called small/test"):
        evaluate(experiment(collections=[str(beir), str(beir)]), tmp_path / "out")


def test_the_primary_measure_is_one_of_the_measures(experiment, tmp_path):
    with pytest.raises(InvalidInputError, match="primary measure MAP is none of"):
        evaluate(experiment(measures=["nDCG@10"], primary="map"), tmp_path / "out")
    report = evaluate(
        experiment(measures=["MAP", "P@5"], rerankers=[], candidates=[5]), tmp_path / "out"
    )
    assert report.primary == "MAP"


def test_queries_are_drawn_by_hash_and_said_to_be(experiment, beir, tmp_path):
    drawn = {"collections": [{"path": str(beir), "queries": 2}], "rerankers": []}
    report = evaluate(experiment(**drawn), tmp_path / "out")
    assert {system.n_queries for system in report.systems} == {2}
    assert "2 of 4 judged queries" in report.systems[0].warnings[0]
