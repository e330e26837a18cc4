from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError, ModelNotFoundError, StorageFullError
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.formats.beir import load_beir
from rerank_search.judged.formats.samples import load_samples
from rerank_search.training.data.evaluation_sets import made_samples
from rerank_search.training.recipe.measuring import EvaluationSet


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes of all tests here; every test has its own samples."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make(collection: Path, tiny_encoder: Path, cache: Path, tmp_path: Path):
    """Makes samples of the collection of colours, or of other sources."""

    class Make:
        file = tmp_path / "data" / "colours.jsonl"

        def __call__(
            self, *sources: dict, seed: int = 1, encoder: str = str(tiny_encoder), **options: object
        ) -> list[dict]:
            declared = sources or ({"collection": collection, "split": "train"},)
            evaluation_set = EvaluationSet(name="colours", sources=declared, **options)
            path = made_samples(
                evaluation_set, encoder=encoder, seed=seed, file=self.file, cache=cache
            )
            assert path == self.file
            return [json.loads(line) for line in self.file.read_text().splitlines()]

    return Make()


@pytest.fixture
def index(collection: Path, tiny_encoder: Path, cache: Path):
    """The index of the collection of colours, as in an evaluation."""
    read = load_beir(collection, "train")
    settings = IndexSettings(encoder=str(tiny_encoder))
    opened, _ = open_corpus_index("colours", read.documents, settings, cache / "indexes")
    with opened:
        yield opened


@pytest.mark.parametrize("stage", ["bm25", "dense", "hybrid"])
def test_candidates_are_ranked_as_a_search_ranks_them(
    make, index, collection: Path, stage: str
) -> None:
    known = load_beir(collection, "train")
    assert known.documents is not None
    texts = {each.id: f"{each.title}\n{each.text}" for each in known.documents()}
    found_a_positive = 0
    samples = make(candidates=5, candidates_from=stage)
    assert len(samples) == 20
    for id, sample in zip(known.qrels, samples, strict=True):
        [hits] = index.retriever(stage).retrieve([sample["query"]], 5)
        assert sample["query"] == known.queries[id]
        assert sample["documents"] == [texts[hit.id] for hit in hits]
        positive = next(d for d, grade in known.qrels[id].items() if grade > 0)
        assert sample["positive"] == [texts[positive]]
        found_a_positive += sample["positive"][0] in sample["documents"]
    assert found_a_positive > 0


def test_random_candidates_are_never_positives(make, tmp_path: Path, collection: Path) -> None:
    copy = tmp_path / "colours"
    shutil.copytree(collection, copy)
    with (copy / "qrels" / "train.tsv").open("a") as rows:
        rows.writelines(f"q1\td{i}\t1\n" for i in range(10, 20))
    samples = make({"collection": copy, "split": "train"}, candidates=9, candidates_from="random")
    assert [len(sample["documents"]) for sample in samples] == [9] * 20
    assert len(samples[1]["positive"]) == 11
    for sample in samples:
        assert not set(sample["positive"]) & set(sample["documents"])
    assert len({tuple(sample["documents"]) for sample in samples}) > 10


def test_queries_are_drawn_by_the_seed_and_sources_come_one_after_the_other(
    make, collection: Path, answers: Path
) -> None:
    sources = (
        {"collection": collection, "split": "train", "queries": 4},
        {"collection": answers, "split": "train", "queries": 2},
    )
    first = make(*sources)
    assert [("red" in s["query"] or "green" in s["query"]) for s in first] == [True] * 4 + [
        False
    ] * 2
    content = make.file.read_bytes()
    make.file.unlink()
    make(*sources)
    assert make.file.read_bytes() == content
    assert [s["query"] for s in make(*sources, seed=2)] != [s["query"] for s in first]


def test_a_source_without_a_split_of_its_own_has_that_of_the_set(
    make, collection: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "colours"
    shutil.copytree(collection, copy)
    (copy / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    [sample] = make({"collection": copy})
    assert sample["query"] == "which bridge is red"
    assert len(make({"collection": copy}, split="train")) == 20
    assert len(make({"collection": copy, "split": "train"})) == 20


def test_the_harness_evaluates_the_samples(
    make, tiny_reranker: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "harness"))
    make(candidates=5)
    read = load_samples(make.file)
    assert (len(read.qrels), read.findings) == (20, [])
    experiment = experiment_of(
        {
            "collections": [str(make.file)],
            "rerankers": [{"model": str(tiny_reranker), "name": "tiny"}],
            "index": {"encoder": str(tiny_encoder)},
            "candidates": [5],
            "statistics": {"resamples": 100},
        }
    )
    first, reranked = evaluate(experiment, tmp_path / "report").systems
    assert (first.split, first.first_stage, first.n_queries) == ("colours", "given", 20)
    assert 0 < first.protocols["first_stage"]["MAP"] <= 1
    assert reranked.protocols["all_positives"].keys() == first.protocols["first_stage"].keys()


def test_samples_of_the_same_settings_are_kept_and_of_others_made_anew(make) -> None:
    original = make()
    content = make.file.read_text()
    make.file.write_text(content.replace("which river", "who reads this"))
    assert make()[0]["query"] == "who reads this is red"
    assert make(candidates=3)[0]["query"] == "which river is red"
    assert make() == original


@pytest.mark.parametrize("damage", [None, "[broken", "{}"])
def test_samples_without_their_settings_are_made_anew(make, damage: str | None) -> None:
    make()
    content = make.file.read_text()
    make.file.write_text("interrupted")
    settings = make.file.with_name("colours.jsonl.settings.json")
    settings.unlink()
    if damage is not None:
        settings.write_text(damage)
    make()
    assert make.file.read_text() == content


def test_a_run_that_ends_before_its_samples_are_there_leaves_none_to_reuse(
    make, collection: Path, tiny_encoder: Path, cache: Path
) -> None:
    make()

    @contextmanager
    def interrupted(description: str, total: float):
        raise KeyboardInterrupt
        yield

    source = {"collection": collection, "split": "train"}
    with pytest.raises(KeyboardInterrupt):
        made_samples(
            EvaluationSet(name="colours", sources=[source], candidates=3),
            encoder=str(tiny_encoder),
            seed=1,
            file=make.file,
            cache=cache,
            progress=interrupted,
        )
    assert [path.name for path in make.file.parent.iterdir()] == ["colours.jsonl"]
    assert len(make(candidates=3)[0]["documents"]) == 3


def test_nothing_to_ask_is_an_error_and_writes_nothing(
    make, collection: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "colours"
    shutil.copytree(collection, copy)
    (copy / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tgone\t1\n")
    for source in (
        {"collection": copy},
        {"collection": collection, "split": "train", "queries": 0},
    ):
        with pytest.raises(InvalidInputError, match="has nothing to evaluate with in the split"):
            make(source)
    assert list(make.file.parent.iterdir()) == []


def test_a_missing_encoder_is_missed_before_anything_is_written(make) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere/model"):
        make(encoder="nowhere/model")
    assert not make.file.parent.exists()


@contextmanager
def full_disk():
    """A context in which no file can grow beyond 4,096 bytes."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_full_leaves_the_old_samples(make, index) -> None:
    # Keep the index open, so that opening it again writes nothing.
    make(candidates=1)
    before = make.file.read_text()
    message = re.escape(f"no space is left on the disk for {make.file}")
    with full_disk(), pytest.raises(StorageFullError, match=message):
        make(candidates=20)
    assert make.file.read_text() == before
    assert [path.name for path in make.file.parent.iterdir()] == ["colours.jsonl"]


@pytest.mark.parametrize("stage", ["bm25", "random"])
def test_a_query_that_is_a_document_is_no_candidate_of_its_own(
    make, tmp_path: Path, stage: str
) -> None:
    folder = tmp_path / "arguments"
    (folder / "qrels").mkdir(parents=True)
    texts = {"a": "the old boat", "b": "the new boat", "c": "the boat on the sea"}
    corpus = [{"_id": id, "title": "boat", "text": text} for id, text in texts.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text('{"_id": "a", "text": "the old boat"}\n')
    (folder / "qrels/dev.tsv").write_text("a\tb\t1\n")
    [sample] = make({"collection": folder}, candidates=2, candidates_from=stage)
    assert sample["positive"] == ["boat\nthe new boat"]
    others = {"boat\nthe new boat", "boat\nthe boat on the sea"}
    assert set(sample["documents"]) == (
        others if stage == "bm25" else others - set(sample["positive"])
    )
