from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rerank_search import CrossEncoderReranker, Document, Index
from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import Experiment
from rerank_search.judged.formats.documents import documents_in
from rerank_search.judged.second_stages import device, identity
from rerank_search.reranking.fusion import Fusion, Weights
from tests import warm
from tests.evaluation.conftest import DOCUMENTS, QUERIES
from tests.waiting import until


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


class Computed(list[str]):
    """The names of the systems whose cells are computed, from the progress of evaluations."""

    @contextmanager
    def progress(self, description: str, steps: float) -> Iterator[Callable[[float], None]]:
        system = description.rpartition(" ")[2]
        if "@" in system:  # not the reading, the indexing or the cost
            self.append(system)
        yield lambda _: None


@pytest.fixture
def computed() -> Computed:
    return Computed()


@pytest.mark.slow
def test_every_combination_is_one_system(experiment, tiny_reranker, tmp_path):
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
    assert {system["relevant_from"] for system in written["systems"]} == {1}
    assert written["sbert_at_k"] == 10
    declared = {"model": tiny_reranker.name, "dtype": "float32", "max_length": None, "fusion": True}
    assert written["rerankers"] == {"tiny": declared}
    runs = {path.name for path in (tmp_path / "out/runs/small/test").iterdir()}
    assert {"bm25@2.first_stage.trec", "hybrid@5+tiny.all_positives.trec"} <= runs


@pytest.mark.slow
def test_the_same_experiment_twice_gives_the_same_figures(experiment, tmp_path):
    one = evaluate(experiment(), tmp_path / "one")
    other = evaluate(experiment(), tmp_path / "other")
    assert [system.protocols for system in one.systems] == [
        system.protocols for system in other.systems
    ]
    assert one.comparisons == other.comparisons


@pytest.mark.slow
def test_a_finished_cell_is_not_computed_again(experiment, tmp_path, computed):
    first = evaluate(experiment(), tmp_path / "out", progress=computed.progress)
    computed.clear()
    again = evaluate(experiment(), tmp_path / "out", progress=computed.progress)
    assert computed == []
    assert again.systems == first.systems
    evaluate(experiment(candidates=[2, 5, 9]), tmp_path / "out", progress=computed.progress)
    assert computed == ["bm25@9", "hybrid@9", "bm25@9+tiny", "hybrid@9+tiny"]


def damaged(cell: dict[str, Any], damage: str) -> str:
    """The text of a stored cell with this damage."""
    if damage == "a figure":
        cell["values"]["first_stage"]["MAP"].pop()
    elif damage == "a query":
        cell["queries"].pop()
    elif damage == "a list":
        cell["top"]["first_stage"].pop()
    else:
        del cell["relevant_from"]  # earlier versions did not write it
    return json.dumps(cell)[: -20 if damage == "the end" else None]


@pytest.mark.slow
def test_a_damaged_cell_is_computed_again(experiment, tmp_path, computed):
    damages = ["a figure", "a query", "a list", "the end", "a field"]
    asked = experiment(rerankers=[], candidates=[2, 5, 9])
    first = evaluate(asked, tmp_path / "out", progress=computed.progress)
    *paths, _ = (tmp_path / "out/cells").iterdir()
    for path, damage in zip(paths, damages, strict=True):
        path.write_text(damaged(json.loads(path.read_text()), damage))
    computed.clear()
    again = evaluate(asked, tmp_path / "out", progress=computed.progress)
    assert len(computed) == len(damages)
    assert again.systems == first.systems


@pytest.mark.slow
@pytest.mark.parametrize("change", ["qrels", "queries", "corpus"])
def test_a_cell_is_computed_again_when_what_it_was_made_of_has_changed(
    experiment, beir, tmp_path, computed, change
):
    evaluate(experiment(rerankers=[]), tmp_path / "out", progress=computed.progress)
    if change == "qrels":
        path = beir / "qrels/test.tsv"
        path.write_text(path.read_text().replace("q1\tjoin\t2", "q1\tjoin\t1"))
    else:
        path = beir / f"{change}.jsonl"
        path.write_text(path.read_text().replace("music", "violin"))
    computed.clear()
    evaluate(experiment(rerankers=[]), tmp_path / "out", progress=computed.progress)
    assert len(computed) == 4


def test_what_was_found_in_the_data_is_said_anew_without_computing(
    experiment, beir, tmp_path, computed
):
    evaluate(experiment(rerankers=[]), tmp_path / "out", progress=computed.progress)
    path = beir / "qrels/test.tsv"
    path.write_text(path.read_text() + "q1\tjoin\t2\n")
    computed.clear()
    report = evaluate(experiment(rerankers=[]), tmp_path / "out", progress=computed.progress)
    assert computed == []
    assert "repeated" in report.systems[0].warnings[0]


@pytest.mark.slow
def test_run_files_that_are_gone_are_written_again(experiment, tmp_path, computed):
    evaluate(experiment(), tmp_path / "out", progress=computed.progress)
    runs = tmp_path / "out/runs/small/test"
    before = {path.name: path.read_text() for path in runs.iterdir()}
    (runs / "bm25@2.first_stage.trec").unlink()
    (runs / "hybrid@5+tiny.retrieved.trec").unlink()
    computed.clear()
    evaluate(experiment(), tmp_path / "out", progress=computed.progress)
    assert computed == ["bm25@2", "hybrid@5+tiny"]
    assert {path.name: path.read_text() for path in runs.iterdir()} == before


@pytest.mark.slow
def test_run_files_of_other_queries_are_written_again(experiment, beir, tmp_path, computed):
    whole = experiment(candidates=[2])
    one_query = experiment(candidates=[2], collections=[{"path": str(beir), "queries": 1}])
    evaluate(whole, tmp_path / "out", progress=computed.progress)
    runs = tmp_path / "out/runs/small/test"
    before = {path.name: path.read_text() for path in runs.iterdir()}
    evaluate(one_query, tmp_path / "out", progress=computed.progress)
    assert {path.name: path.read_text() for path in runs.iterdir()} != before
    computed.clear()
    evaluate(whole, tmp_path / "out", progress=computed.progress)
    assert len(computed) == 4
    assert {path.name: path.read_text() for path in runs.iterdir()} == before
    evaluate(whole, tmp_path / "out", progress=computed.progress)
    assert len(computed) == 4


def test_run_files_of_a_stored_cell_that_does_not_say_what_they_are_are_written_again(
    experiment, tmp_path, computed
):
    evaluate(experiment(rerankers=[]), tmp_path / "out", progress=computed.progress)
    for path in (tmp_path / "out/cells").iterdir():
        cell = json.loads(path.read_text())
        del cell["run_files"]  # earlier versions did not write it
        path.write_text(json.dumps(cell))
    shutil.rmtree(tmp_path / "out/runs")
    computed.clear()
    evaluate(experiment(rerankers=[]), tmp_path / "out", progress=computed.progress)
    assert len(computed) == 4
    assert len(list((tmp_path / "out/runs/small/test").iterdir())) == 4


def test_run_files_of_names_that_share_their_parts_lie_apart(experiment, beir, tmp_path):
    shutil.move(beir / "qrels/test.tsv", beir / "qrels/b-c.tsv")
    lines = (beir / "qrels/b-c.tsv").read_text().splitlines(keepends=True)
    (beir / "qrels/c.tsv").write_text("".join(lines[:4]))
    settings = {"rerankers": [], "first_stages": ["bm25"], "candidates": [2]}
    collections = [
        {"path": str(beir), "name": "a", "split": "b-c"},
        {"path": str(beir), "name": "a-b", "split": "c"},
    ]
    evaluate(experiment(**settings, collections=collections), tmp_path / "out")
    files = [
        tmp_path / "out/runs" / folder / "bm25@2.first_stage.trec" for folder in ("a/b-c", "a-b/c")
    ]
    queries = [{line.split()[0] for line in path.read_text().splitlines()} for path in files]
    assert queries == [{"q1", "q2", "q3", "q4"}, {"q1"}]


def test_weights_are_read_for_their_hash_once_a_run(experiment, tmp_path, when_called):
    hashed: list[str] = []
    with when_called(identity, lambda given: hashed.append(given["settings"].label)):
        evaluate(experiment(), tmp_path / "out")
    assert hashed == ["tiny"]


@pytest.mark.slow
def test_costs_of_another_device_are_not_taken(experiment, tmp_path, computed, monkeypatch):
    settings = {"first_stages": ["bm25"], "candidates": [2]}
    for cost_queries in (1, 0):
        monkeypatch.delenv("RERANK_SEARCH_DEVICE", raising=False)
        once = experiment(**settings, cost_queries=cost_queries)
        [tiny] = once.rerankers
        evaluate(once, tmp_path / "out", progress=computed.progress)
        computed.clear()
        named = once.model_copy(
            update={"rerankers": [tiny.model_copy(update={"device": device(tiny)})]}
        )
        evaluate(named, tmp_path / "out", progress=computed.progress)
        assert computed == []
        monkeypatch.setenv("RERANK_SEARCH_DEVICE", "cpu:0")
        evaluate(once, tmp_path / "out", progress=computed.progress)
        assert computed == (["bm25@2+tiny"] if cost_queries else [])


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be asked about")
def test_what_a_killed_process_has_not_published_is_removed(experiment, tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / "out/runs/small/test"
    folder.mkdir(parents=True)
    (tmp_path / "out/cells").mkdir()
    of_ended = [
        folder / f".bm25@2.first_stage.trec.{ended.pid}.tmp",
        tmp_path / f"out/cells/.0123.json.{ended.pid}.tmp",
    ]
    others = [folder / f".bm25@9.first_stage.trec.{os.getpid()}.tmp", folder / ".mine.tmp"]
    for path in (*of_ended, *others):
        path.write_text("unfinished")
    evaluate(experiment(rerankers=[]), tmp_path / "out")
    assert not any(path.exists() for path in of_ended)
    assert all(path.exists() for path in others)


def test_an_output_folder_that_cannot_be_made_is_refused_before_anything_is_computed(
    experiment, tmp_path, cache
):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be used as a path"):
        evaluate(experiment(), tmp_path / "file")
    assert not cache.exists()


@pytest.mark.process
def test_a_killed_run_goes_on(experiment, beir, tiny_encoder, tiny_reranker, tmp_path, cache):
    arguments = experiment().model_dump_json()
    script = (
        "import sys; from pathlib import Path\n"
        "from rerank_search.evaluation.evaluate import evaluate\n"
        "from rerank_search.evaluation.experiment import Experiment\n"
        "evaluate(Experiment.model_validate_json(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    out = tmp_path / "out"
    process = warm.start(script, arguments, str(out), output=tmp_path / "output")
    until(lambda: not process.running or list(out.glob("cells/*.json")), 120)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (out / "report.json").exists()

    report = evaluate(experiment(), out)
    undisturbed = evaluate(experiment(), tmp_path / "undisturbed")
    assert [system.protocols for system in report.systems] == [
        system.protocols for system in undisturbed.systems
    ]
    for path in (tmp_path / "undisturbed/runs/small/test").iterdir():
        assert (out / "runs/small/test" / path.name).read_text() == path.read_text()


def test_costs_are_measured_beside_the_figures(experiment, tmp_path):
    report = evaluate(experiment(cost_queries=2, candidates=[5]), tmp_path / "out")
    for system in report.systems:
        assert system.cost is not None
        assert system.cost.queries == 2
        assert (system.cost.pairs_per_second is None) == (system.reranker is None)


def test_costs_are_measured_with_an_encoder_that_was_moved(experiment, tiny_encoder, tmp_path):
    moved = Path(shutil.copytree(tiny_encoder, tmp_path / "there"))
    settings = {"first_stages": ["dense"], "candidates": [2], "rerankers": []}
    settings |= {"index": {"encoder": str(moved)}}
    evaluate(experiment(**settings), tmp_path / "out")  # builds the index
    moved.rename(tmp_path / "here")
    settings |= {"index": {"encoder": str(tmp_path / "here")}, "cost_queries": 1}
    report = evaluate(experiment(**settings), tmp_path / "out")
    assert report.systems[0].cost is not None


NO_ENCODER = {"encoder": "no/such-encoder"}
"""An index setting that raises ModelNotFoundError if anything is encoded."""


def test_bm25_alone_encodes_nothing_and_ranks_as_an_index_without_vectors(experiment, tmp_path):
    settings = {"first_stages": ["bm25"], "candidates": [5], "cost_queries": 1}
    report = evaluate(experiment(index=NO_ENCODER, **settings), tmp_path / "out")
    declared = evaluate(experiment(index={"encoder": False}, **settings), tmp_path / "declared")
    assert [system.name for system in report.systems] == ["bm25@5", "bm25@5+tiny"]
    assert [system.protocols for system in report.systems] == [
        system.protocols for system in declared.systems
    ]
    # q2 finds "read" first and "tower" fourth, by the word "the"; the other queries lose nothing.
    assert report.systems[0].protocols["first_stage"]["MAP"] == (3 + (1 + 2 / 4) / 2) / 4
    assert all(system.cost is not None for system in report.systems)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stages", "named"), [(["bm25"], "stage bm25:"), (["bm25", "fixed"], "stages bm25, fixed:")]
)
def test_a_fusion_over_stages_without_vectors_is_said_to_do_without_the_cosine(
    experiment, tiny_reranker, tmp_path, install_engine, stages, named
):
    install_engine()
    fused = Path(shutil.copytree(tiny_reranker, tmp_path / "fused"))
    weights = {"rerank": 1.0, "bm25:z": 100.0}
    Fusion([Weights(0.0, weights), Weights(0.0, weights | {"dense:z": 1.0})]).save(fused)
    rerankers = [{"model": str(fused), "fusion": fusion} for fusion in (True, False)]
    settings = {"first_stages": stages, "candidates": [5], "rerankers": rerankers}
    report = evaluate(experiment(index=NO_ENCODER, **settings), tmp_path / "out")
    systems = [each for each in report.systems if each.first_stage == "bm25"]
    alone, fused, _ = systems
    # With these weights the ranking is that of BM25.
    assert fused.protocols["retrieved"] == alone.protocols["first_stage"]
    warned = [[each for each in one.warnings if "the cosine" in each] for one in systems]
    assert [len(each) for each in warned] == [0, 1, 0]
    assert named in warned[1][0]


def test_samples_are_encoded_for_a_fusion_only(experiment, tiny_reranker, tmp_path):
    fused = Path(shutil.copytree(tiny_reranker, tmp_path / "fused"))
    Fusion([Weights(0.0, {"rerank": 1.0, "dense:z": 1.0})]).save(fused)
    path = tmp_path / "samples.jsonl"
    path.write_text('{"query": "boat", "positive": "a boat", "documents": ["a song", "a boat"]}\n')
    settings = {"first_stages": [], "collections": [str(path)], "index": NO_ENCODER}
    report = evaluate(experiment(**settings), tmp_path / "out")
    assert report.systems[0].protocols["first_stage"]["MRR@10"] == 0.5
    with pytest.raises(ModelNotFoundError, match="no/such-encoder"):
        evaluate(experiment(rerankers=[str(fused)], **settings), tmp_path / "out")


def test_judgements_of_missing_documents_are_counted_and_located(experiment, beir, tmp_path):
    with (beir / "qrels/test.tsv").open("a") as file:
        file.write("q2\tghost\t1\nq3\tphantom\t0\n")
    report = evaluate(experiment(rerankers=[], candidates=[5]), tmp_path / "out")
    warning, _ = report.systems[0].warnings
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
    assert (
        "no run files are written, because the document id 'jo in'" in report.systems[0].warnings[0]
    )
    assert report.systems[0].protocols["first_stage"]["R@100"] > 0
    assert not (tmp_path / "out/runs/small/test").exists()


def test_samples_are_reranked_as_they_are_given(experiment, tmp_path):
    path = tmp_path / "samples.jsonl"
    lines = [
        {"query": "read lines", "positive": "read the lines", "documents": ["a", "read the lines"]},
        {"query": "boat", "positive": ["a boat"], "documents": ["the bread", "a song"]},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = evaluate(
        experiment(first_stages=[], collections=[str(path)], candidates=[10]), tmp_path / "out"
    )
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
    report = evaluate(experiment(first_stages=[], collections=[str(path)]), tmp_path / "out")
    found = report.systems[-1].protocols["sbert"]
    model = CrossEncoder(str(tiny_reranker), device="cpu")
    for prefix, always in (("", True), ("retrieved_", False)):
        expected = CrossEncoderRerankingEvaluator(
            samples=samples, always_rerank_positives=always, write_csv=False
        )(model)
        for key in ("map", "mrr@10", "ndcg@10"):
            assert found[prefix + key] == pytest.approx(expected[key], abs=1e-9)
            assert found["base_" + key] == pytest.approx(expected["base_" + key], abs=1e-9)


def test_samples_with_negatives_have_no_base(experiment, tmp_path, computed):
    path = tmp_path / "negatives.jsonl"
    samples = [
        {"query": "read lines", "positive": ["read the lines"], "negative": ["a", "song"]},
        {"query": "boat", "positive": [], "negative": ["bread", "a boat"]},
    ]
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    report = evaluate(experiment(first_stages=[], collections=[str(path)]), tmp_path / "out")
    assert report.systems[-1].protocols["sbert"].keys() == {"map", "mrr@10", "ndcg@10"}
    assert any("negatives instead of" in warning for warning in report.systems[-1].warnings)
    computed.clear()
    evaluate(experiment(first_stages=[], collections=[str(path)]), tmp_path / "out")
    assert computed == []


def test_labelled_pairs_are_classified(experiment, tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "dev.csv").write_text(
        "text1,text2,label\na boat,the boat,1\na boat,bread,0\na song,a song,1\n"
    )
    settings = {"collections": [{"path": str(folder), "split": "dev"}]}
    settings |= {"first_stages": [], "candidates": [100]}
    report = evaluate(experiment(**settings), tmp_path / "out")
    [pairs] = report.pairs
    assert (pairs.n_pairs, pairs.n_positive, pairs.reranker) == (3, 2, "tiny")
    assert 0 < pairs.values["average_precision"] <= 1


def test_pairs_without_a_reranker_are_refused_before_anything_is_computed(
    experiment, beir, tmp_path, cache
):
    (tmp_path / "pairs.csv").write_text("text1,text2,label\na boat,the boat,1\n")
    both = experiment(collections=[str(beir), str(tmp_path / "pairs.csv")], rerankers=[])
    with pytest.raises(InvalidInputError, match="only a reranker can classify"):
        evaluate(both, tmp_path / "out")
    assert not cache.exists()
    assert not (tmp_path / "out").exists()


def test_a_cut_off_beyond_the_candidates_is_warned_of(experiment, tmp_path):
    report = evaluate(
        experiment(measures=["R@5", "MAP"], rerankers=[], first_stages=["bm25"]), tmp_path / "out"
    )
    assert [len(system.warnings) for system in report.systems] == [1, 0]
    assert "each query has 2 candidates, too few for R@5" in report.systems[0].warnings[0]


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
    assert len(again.systems[0].warnings) == len(report.systems[0].warnings) - 1
    better = again.systems[0].protocols["first_stage"]["MAP"]
    assert better > report.systems[0].protocols["first_stage"]["MAP"]


def test_two_collections_of_one_name_are_refused(experiment, beir, tmp_path):
    with pytest.raises(InvalidInputError, match="two collections have the name small/test"):
        evaluate(experiment(collections=[str(beir), str(beir)]), tmp_path / "out")


def test_the_primary_measure_is_one_of_the_measures(experiment, tmp_path):
    with pytest.raises(InvalidInputError, match="primary measure MAP is not one of"):
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


def test_an_index_of_own_vectors_is_evaluated_with_a_file_of_query_vectors(
    experiment, beir, tmp_path
):
    documents = list(documents_in(beir / "corpus.jsonl"))
    vectors = {each.id: [1.0, float(place)] for place, each in enumerate(documents)}
    with Index.create(tmp_path / "own", encoder=None, dimension=2) as index:
        index.add(documents, vectors=[vectors[each.id] for each in documents])
    wanted: dict[str, list[float]] = {}
    for line in (beir / "qrels/test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        if int(grade) > 0 and document in vectors:
            wanted[query] = vectors[document]  # the query's own answer, exactly
    queries = [json.loads(line) for line in (beir / "queries.jsonl").read_text().splitlines()]
    file = tmp_path / "vectors.jsonl"

    def write(scale: float) -> None:
        rows = [
            {"id": each["_id"], "vector": [scale * n for n in wanted.get(each["_id"], [1.0, 0.0])]}
            for each in queries
        ]
        file.write_text("\n".join(map(json.dumps, rows)))

    def first_rank(output: str) -> float:
        settings = {"path": str(beir), "index": str(tmp_path / "own"), "query_vectors": str(file)}
        report = evaluate(
            experiment(
                collections=[settings],
                first_stages=["dense", "bm25"],
                rerankers=[],
                measures=["MRR@10"],
                cost_queries=1,
            ),
            tmp_path / output,
        )
        assert report.systems[0].cost is not None
        return report.systems[0].protocols["first_stage"]["MRR@10"]

    write(1.0)
    right = first_rank("out")
    write(-1.0)
    assert first_rank("out") < right  # other vectors, so no cell is used again


def test_an_instruction_is_a_setting_of_each_reranker(
    experiment, computed: Computed, causal_reranker, tmp_path
):
    told = "Find the names of birds"
    entries = [
        {"model": str(causal_reranker), "name": "own", "fusion": False},
        {"model": str(causal_reranker), "name": "told", "fusion": False, "instruction": told},
    ]
    settings = {"first_stages": ["bm25"], "candidates": [5], "index": {"encoder": False}}
    asked = experiment(**settings, rerankers=entries, cost_queries=1)
    report = evaluate(asked, tmp_path / "out", progress=computed.progress)
    assert computed == ["bm25@5", "bm25@5+own", "bm25@5+told"]
    written = json.loads((tmp_path / "out/report.json").read_text())["rerankers"]
    assert "instruction" not in written["own"]
    assert written["told"]["instruction"] == told
    reranker = CrossEncoderReranker(causal_reranker, device="cpu")
    for system, instruction in zip(report.systems[1:], (None, told), strict=True):
        run = f"out/runs/small/test/{system.name}.all_positives.trec"
        for line in (tmp_path / run).read_text().splitlines():
            query, _, document, _, score, _ = line.split()
            title, text = DOCUMENTS[document]
            if document != "story":  # of which a passage is read
                pair = (QUERIES[query], f"{title}\n{text}" if title else text)
                [expected] = reranker.score([pair], instruction=instruction)
                assert float(score) == pytest.approx(float(expected), abs=1e-4)
    # Another instruction is another cell; the others are read again.
    entries[1]["instruction"] = f"{told} "
    computed.clear()
    evaluate(
        experiment(**settings, rerankers=entries, cost_queries=1),
        tmp_path / "out",
        progress=computed.progress,
    )
    assert computed == ["bm25@5+told"]


def test_an_instruction_to_a_reranker_that_takes_none_is_refused(
    experiment, tiny_reranker, tmp_path
):
    entry = {"model": str(tiny_reranker), "instruction": "Find the names of birds"}
    settings = {"first_stages": ["bm25"], "candidates": [2], "index": {"encoder": False}}
    with pytest.raises(InvalidInputError, match="takes no instruction: leave it out"):
        evaluate(experiment(**settings, rerankers=[entry]), tmp_path / "out")
    with pytest.raises(ValueError, match="instruction=' ' is blank"):
        experiment(rerankers=[{**entry, "instruction": " "}])
