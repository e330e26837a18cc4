from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.judged.corpus_index import open_corpus_index
from rerank_search.judged.formats.beir import load_beir
from rerank_search.judged.loading import by_hash
from rerank_search.judged.settings import CollectionSettings
from rerank_search.reranking.calibration import Calibration
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import Fusion, Weights
from rerank_search.searcher import Searcher
from rerank_search.storage.manifest import Manifest
from rerank_search.training.publish.fitting import calibrate
from rerank_search.types import Document

WORDS_ONLY = IndexSettings(encoder=False)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tiny_reranker: Path, tmp_path: Path) -> Path:
    """A reranker in a folder that may be written to."""
    return Path(shutil.copytree(tiny_reranker, tmp_path / "model"))


def write_collection(folder: Path, judgements: str) -> CollectionSettings:
    """A collection of two documents, which both queries find."""
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "text": "a red boat"}\n{"_id": "d2", "text": "a blue boat"}\n'
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "red boat"}\n{"_id": "q2", "text": "blue boat"}\n'
    )
    (folder / "qrels/dev.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgements)
    return CollectionSettings(path=folder, split="dev")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_fusion_and_calibration_are_fitted_and_searched_with(
    model: Path, collection: Path, tiny_encoder: Path, method
) -> None:
    index = IndexSettings(encoder=str(tiny_encoder))
    settings = CollectionSettings(path=collection, split="train")
    found = calibrate(str(model), [settings], candidates=5, method=method, index=index)
    found.save(model)

    assert {path.name for path in model.iterdir()} >= {
        "fusion.json",
        "calibration.json",
        "reliability.svg",
    }
    assert Calibration.load(model) == found.calibration
    assert found.calibration.curve.method == method
    weights = Fusion.load(model).choose(["rerank", "dense", "bm25"])
    assert found.calibration.fusion == weights
    fitted_on = found.calibration.fitted_on
    assert (fitted_on.collection, fitted_on.split) == ("colours", "train")
    assert (fitted_on.first_stage, fitted_on.candidates) == ("hybrid", 5)
    assert fitted_on.documents == 5 * fitted_on.queries == 100
    assert 0 < fitted_on.relevant <= 0.2
    assert any("are relevant, so the probabilities are rough" in w for w in found.warnings)

    with Index.create(model.parent / "index", encoder=str(tiny_encoder)) as searched:
        searched.add([Document("a", "the river is red"), Document("b", "the bread is green")])
        reranker = CrossEncoderReranker(model, device="cpu")
        hits = Searcher(searched, reranker).search("which river is red").hits
        assert all(hit.relevance is not None for hit in hits)


def test_the_probabilities_of_what_was_fitted_on_add_up_to_the_relevant_ones(
    model: Path, collection: Path
) -> None:
    settings = CollectionSettings(path=collection, split="train")
    found = calibrate(str(model), [settings], method="isotonic", index=WORDS_ONLY, candidates=20)
    searched, total = 0, 0.0
    found.save(model)
    reranker = CrossEncoderReranker(model, device="cpu")
    loaded = load_beir(collection, "train")
    assert loaded.documents is not None
    index, _ = open_corpus_index("again", loaded.documents, WORDS_ONLY, model.parent)
    with index:
        queries = [loaded.queries[query] for query in loaded.qrels]
        for response in Searcher(index, reranker).search_batch(queries, top_k=20, candidates=20):
            searched += len(response.hits)
            total += sum(hit.relevance or 0.0 for hit in response.hits)
    fitted_on = found.calibration.fitted_on
    assert searched == fitted_on.documents
    assert total == pytest.approx(fitted_on.documents * fitted_on.relevant)


def test_without_fusion_the_logit_is_calibrated_and_no_fusion_written(
    model: Path, collection: Path
) -> None:
    settings = CollectionSettings(path=collection, split="train")
    found = calibrate(str(model), [settings], fusion=False, index=WORDS_ONLY, candidates=5)
    found.save(model.parent / "out")
    assert found.fusion is None
    assert found.calibration.fusion is None
    assert not (model.parent / "out/fusion.json").exists()


def test_the_calibration_of_a_logit_is_said_to_be_idle_beside_a_fusion(
    model: Path, collection: Path
) -> None:
    settings = CollectionSettings(path=collection, split="train")
    calibrate(str(model), [settings], index=WORDS_ONLY, candidates=5).save(model)
    found = calibrate(str(model), [settings], fusion=False, index=WORDS_ONLY, candidates=5)
    assert any("only searches without fusion" in warning for warning in found.warnings)


def test_the_same_call_gives_the_same_calibration(model: Path, collection: Path) -> None:
    settings = CollectionSettings(path=collection, split="train", queries=12)
    first, second = (
        calibrate(str(model), [settings], index=WORDS_ONLY, candidates=5) for _ in range(2)
    )
    assert first.calibration == second.calibration
    assert (first.before, first.after) == (second.before, second.after)
    assert first.calibration.fitted_on.queries == 12


@pytest.mark.parametrize(
    ("judgements", "reason"),
    [
        ("q1\td1\t0\nq2\td2\t0\n", "0 of 2 queries have a relevant document"),
        ("q1\td1\t1\nq2\td2\t0\n", "1 of 2 queries have a relevant document"),
        (
            "q1\td1\t1\nq1\td2\t1\nq2\td2\t1\nq2\td1\t1\n",
            "0 of 2 queries have an irrelevant document",
        ),
    ],
)
def test_a_collection_of_one_class_is_refused(
    model: Path, tmp_path: Path, judgements: str, reason: str
) -> None:
    settings = write_collection(tmp_path / "small", judgements)
    with pytest.raises(InvalidInputError, match=reason):
        calibrate(str(model), [settings], index=WORDS_ONLY)


def test_what_is_not_searched_is_refused(model: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"query": "boat", "positive": "a boat", "negative": ["a tower"]}\n')
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("text1,text2,label\na boat,the boat,1\na boat,a tower,0\n")
    for path in (samples, pairs):
        with pytest.raises(InvalidInputError, match="is not searched"):
            calibrate(str(model), [CollectionSettings(path=path)])


def test_few_queries_are_held_out_one_by_one(model: Path, tmp_path: Path) -> None:
    settings = write_collection(tmp_path / "small", "q1\td1\t1\nq2\td2\t1\n")
    found = calibrate(str(model), [settings], index=WORDS_ONLY)
    assert found.calibration.held_out.folds == 2
    assert sum(each.documents for each in found.after) == 4


def test_a_collection_that_is_given_twice_is_refused(model: Path, tmp_path: Path) -> None:
    settings = write_collection(tmp_path / "few", "q1\td1\t1\nq2\td2\t1\n")
    with pytest.raises(InvalidInputError, match="few is given twice"):
        calibrate(str(model), [settings, settings], index=WORDS_ONLY)


def test_a_fold_with_all_that_is_not_relevant_is_left_out(model: Path, tmp_path: Path) -> None:
    """Two of ten queries have irrelevant candidates too, and both are in the same fold of five."""
    settings = write_collection(tmp_path / "ten", "")
    folder = tmp_path / "ten"
    dealt = by_hash({f"q{i}": {} for i in range(10)})
    texts = {f"d{query}": f"thing{query}" for query in dealt}
    texts |= {f"x{query}": f"thing{query} again" for query in (dealt[0], dealt[5])}
    for name, lines in (
        ("corpus", [{"_id": id, "text": text} for id, text in texts.items()]),
        ("queries", [{"_id": query, "text": f"thing{query}"} for query in dealt]),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = "".join(f"{query}\td{query}\t1\n" for query in dealt)
    (folder / "qrels/dev.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    found = calibrate(str(model), [settings], fusion=False, index=WORDS_ONLY)
    assert found.calibration.fitted_on.documents == 12


def test_bm25_without_fusion_encodes_nothing(model, collection, cache) -> None:
    settings = CollectionSettings(path=collection, split="train")
    calibrate(str(model), [settings], first_stage="bm25", fusion=False, candidates=5)
    [made] = (cache / "indexes").glob("*/manifest.json")
    assert Manifest.read(made.parent).encoder is None


def test_a_query_that_is_a_document_is_warned_of_and_can_be_left_out(model, tmp_path) -> None:
    settings = write_collection(tmp_path / "boats", "d1\td2\t1\nq2\td1\t1\n")
    assert settings.path is not None
    (settings.path / "queries.jsonl").write_text(
        '{"_id": "d1", "text": "a red boat"}\n{"_id": "q2", "text": "blue boat"}\n'
    )
    found = calibrate(str(model), [settings], index=WORDS_ONLY)
    assert found.calibration.fitted_on.documents == 4
    assert any("1 queries are documents of the corpus and count" in w for w in found.warnings)
    with_more = settings.path / "corpus.jsonl"
    with_more.write_text(with_more.read_text() + '{"_id": "d3", "text": "a boat"}\n')
    settings = settings.model_copy(update={"ignore_identical_ids": True})
    found = calibrate(str(model), [settings], index=WORDS_ONLY)
    assert found.calibration.fitted_on.documents == 5
    assert any("own document is left out of their rankings" in w for w in found.warnings)


def test_a_fusion_that_is_given_is_kept_and_its_score_is_calibrated(
    model: Path, collection: Path
) -> None:
    settings = CollectionSettings(path=collection, split="train")
    weights = Weights(-1.0, {"rerank": 0.5, "bm25:z": 0.7})
    given = Fusion([weights])
    found = calibrate(str(model), [settings], fusion=given, index=WORDS_ONLY, candidates=5)
    assert found.fusion is given
    assert found.calibration.fusion == weights
