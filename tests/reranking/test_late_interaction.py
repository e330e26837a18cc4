"""MaxSim of token vectors, against the code of the model's makers, and its files on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import MultiVectorEncoder

from rerank_search import (
    Cascade,
    CrossEncoderReranker,
    Document,
    Index,
    InvalidInputError,
    ModelNotFoundError,
    MultiVectorReranker,
    Searcher,
)
from rerank_search.judged.second_stages import SecondStages, identity
from rerank_search.judged.settings import RerankerSettings
from rerank_search.reranking.given import reranker_of
from rerank_search.testing import check_reranker

QUERIES = [
    "which bird is red",
    "",
    "the boat of the king, and the queen, in a long winter storm of snow",
]
TEXTS = [
    "the red bird",
    "a boat on the sea, which is blue, and old!",
    "",
    "...",
    "tower and garden " * 60,
    "snow. rain.",
    "the red bird",
    "\N{SNOWMAN} 雪",
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "token-vectors"


@pytest.fixture(scope="module")
def expected(late_reranker: Path) -> np.ndarray:
    """The similarity of each query and text by sentence-transformers alone."""
    model = MultiVectorEncoder(str(late_reranker), device="cpu")
    return model.similarity(model.encode_query(QUERIES), model.encode_document(TEXTS)).numpy()


def pairs() -> list[tuple[str, str]]:
    return [(query, text) for query in QUERIES for text in TEXTS]


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_scores_are_those_of_sentence_transformers_together_and_alone(
    late_reranker: Path, expected: np.ndarray
) -> None:
    reranker = MultiVectorReranker(late_reranker)
    together = reranker.score(pairs())
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, expected.ravel(), atol=1e-5)
    for kept in (0, None):  # encoded again, and read from the disk
        each = MultiVectorReranker(late_reranker, cache_mb=kept)
        alone = np.concatenate([each.score([pair]) for pair in pairs()])
        np.testing.assert_allclose(alone, expected.ravel(), atol=1e-5)
    assert reranker.score([]).shape == (0,)
    check_reranker(reranker)


def test_cut_texts_are_reported_as_the_model_cuts_them(late_reranker: Path) -> None:
    for prompt in (None, "", "a long prompt of eight words, and more "):
        reranker = MultiVectorReranker(late_reranker, document_prompt=prompt)
        before = reranker.prompts.document
        room = 62 - len(reranker.token_offsets(before))  # of 64, without the two special tokens
        texts = ["", "snow", *("bird " * count for count in (room - 1, room, room + 1, 400))]
        asked = [("bird", text) for text in texts]
        for _ in range(2):  # the second time from memory
            report = reranker.score_with_report(asked)
            assert report.truncated.tolist() == [False] * 4 + [True] * 2
            np.testing.assert_array_equal(report.values, reranker.score(asked))
            assert report.spans == [None] * len(texts)
    assert reranker.score_with_report([]).values.shape == (0,)


def test_the_best_passage_of_a_long_text_counts(late_reranker: Path) -> None:
    reranker = MultiVectorReranker(late_reranker)
    long = "tower and garden. " * 40 + "The red bird is old. " + "snow and rain. " * 40
    asked = [("which bird is red", text) for text in (long, "the red bird", "", long)]
    report = reranker.score_with_report(asked, long_documents="max_passage")
    assert not report.truncated.any()
    assert report.spans[1:3] == [None, None]
    assert report.spans[0] == report.spans[3] is not None
    start, end = report.spans[0]
    part = reranker.score_with_report([(asked[0][0], long[start:end])])
    assert not part.truncated.any()
    np.testing.assert_allclose(report.values[:1], part.values, atol=1e-5)
    assert report.values[0] > reranker.score(asked)[0]
    np.testing.assert_allclose(report.values[1:3], reranker.score(asked[1:3]), atol=1e-5)
    with pytest.raises(InvalidInputError, match="long_documents='whole'"):
        reranker.score_with_report(asked, long_documents="whole")


def test_prompts_given_by_hand_replace_those_of_the_model(late_reranker: Path) -> None:
    model = MultiVectorEncoder(str(late_reranker), device="cpu")
    reranker = MultiVectorReranker(late_reranker, query_prompt="", document_prompt="text: ")
    queries = model.encode_query(QUERIES, prompt="")
    documents = model.encode_document(TEXTS, prompt="text: ")
    wanted = model.similarity(queries, documents).numpy().ravel()
    np.testing.assert_allclose(reranker.score(pairs()), wanted, atol=1e-5)
    assert reranker.fingerprint != MultiVectorReranker(late_reranker).fingerprint
    copy = deepcopy(reranker)
    assert copy.fingerprint == reranker.fingerprint
    np.testing.assert_allclose(copy.score(pairs()), wanted, atol=1e-5)


def test_a_name_of_such_a_model_gives_this_reranker(
    late_reranker: Path, tiny_reranker: Path, tmp_path: Path
) -> None:
    assert isinstance(reranker_of(late_reranker), MultiVectorReranker)
    assert isinstance(reranker_of(tiny_reranker), CrossEncoderReranker)
    cascade = Cascade([late_reranker, tiny_reranker], keep=[2])
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document(str(i), f"a bird {text}") for i, text in enumerate(TEXTS)])
        hits = Searcher(index, late_reranker).search("bird", top_k=3).hits
        [score] = MultiVectorReranker(late_reranker).score([("bird", hits[0].document.text)])
        assert hits[0].stage_scores["rerank"] == pytest.approx(float(score), abs=1e-5)
        assert len(Searcher(index, cascade).search("bird", top_k=8).hits) == 8


def test_an_experiment_ranks_by_it(late_reranker: Path, tmp_path: Path) -> None:
    settings = RerankerSettings(model=str(late_reranker))
    stages = SecondStages(tmp_path)
    stage = stages.get(settings)
    first = stage.cache.scored(pairs())
    assert (stage.cache.asked, stage.cache.computed) == (len(pairs()), len(set(pairs())))
    np.testing.assert_allclose(stage.cache.scored(pairs()).values, first.values)
    assert stage.cache.computed == len(set(pairs()))
    stages.close()
    assert len(identity(settings)) == 2
    with pytest.raises(InvalidInputError, match="has neither max_length nor dtype"):
        SecondStages(tmp_path).get(settings.model_copy(update={"max_length": 32}))


def test_vectors_of_texts_are_read_from_the_disk(
    late_reranker: Path, cache: Path, expected: np.ndarray, tmp_path: Path
) -> None:
    MultiVectorReranker(late_reranker).score(pairs())
    kept = files(cache)
    assert len(kept) == len(set(TEXTS))
    times = [path.stat().st_ino for path in kept]
    moved = MultiVectorReranker(shutil.copytree(late_reranker, tmp_path / "moved"))
    np.testing.assert_allclose(moved.score(pairs()), expected.ravel(), atol=1e-5)
    assert [path.stat().st_ino for path in files(cache)] == times  # nothing was written again


def test_half_precision_is_stated_and_the_same_each_time(
    late_reranker: Path, cache: Path, expected: np.ndarray
) -> None:
    first = MultiVectorReranker(late_reranker, cache_dtype="float16").score(pairs())
    again = MultiVectorReranker(late_reranker, cache_dtype="float16").score(pairs())
    np.testing.assert_array_equal(first, again)
    assert 1e-6 < np.abs(first - expected.ravel()).max() < 0.005
    half = sum(path.stat().st_size for path in files(cache))
    MultiVectorReranker(late_reranker).score(pairs())
    assert sum(path.stat().st_size for path in files(cache)) - half > 1.8 * half


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_file_is_written_again(
    late_reranker: Path, cache: Path, expected: np.ndarray, damage: bytes | None
) -> None:
    MultiVectorReranker(late_reranker).score(pairs())
    for path in files(cache):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(bytes(content) if damage is None else damage)
    reranker = MultiVectorReranker(late_reranker)
    np.testing.assert_allclose(reranker.score(pairs()), expected.ravel(), atol=1e-5)
    assert all(path.stat().st_size > 100 for path in files(cache))


def test_the_least_recently_used_files_are_deleted_above_the_limit(
    late_reranker: Path, cache: Path
) -> None:
    texts = [f"tower {word} " + "snow " * 50 for word in ("one", "two", "bird", "boat", "sea")]
    reranker = MultiVectorReranker(late_reranker)
    reranker.score([("bird", text) for text in texts])
    size = sum(path.stat().st_size for path in files(cache))
    many = [("bird", f"{i} " + "snow " * 60) for i in range(1_000_000 // (size // 5) + 20)]
    for path in files(cache):
        os.utime(path, (1, 1))
    reranker.score([("bird", texts[0])])  # one of them is used again
    MultiVectorReranker(late_reranker, cache_mb=1).score(many)
    left = files(cache)
    assert sum(path.stat().st_size for path in left) <= 1_050_000
    assert sum(path.stat().st_mtime < 2 for path in left) == 0


def test_a_folder_that_cannot_be_written_is_told_once(
    late_reranker: Path, cache: Path, expected: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.mkdir()
    cache.write_text("a file")
    reranker = MultiVectorReranker(late_reranker)
    for _ in range(2):
        np.testing.assert_allclose(reranker.score(pairs()), expected.ravel(), atol=1e-5)
    [record] = caplog.records
    assert "token vectors cannot be kept" in record.getMessage()


def test_threads_and_processes_share_one_folder(
    late_reranker: Path,
    cache: Path,
    expected: np.ndarray,
    in_child: Callable[[Callable[[], object]], bool],
) -> None:
    def scored() -> np.ndarray:
        return MultiVectorReranker(late_reranker).score(pairs())

    shared = MultiVectorReranker(late_reranker)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: shared.score(pairs()), range(4)):
            np.testing.assert_allclose(found, expected.ravel(), atol=1e-5)
    assert in_child(lambda: np.allclose(scored(), expected.ravel(), atol=1e-5))
    assert len(files(cache)) == len(set(TEXTS))


def test_the_environment_sets_the_limit(
    late_reranker: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_TOKEN_VECTORS_MB", "0")
    MultiVectorReranker(late_reranker).score(pairs()[:2])
    assert files(cache) == []
    MultiVectorReranker(late_reranker, cache_mb=1).score(pairs()[:2])
    assert len(files(cache)) == 2


def test_models_of_another_kind_and_invalid_arguments_are_refused(
    late_reranker: Path,
    sparse_encoder: Path,
    tiny_encoder: Path,
    tiny_reranker: Path,
    tmp_path: Path,
) -> None:
    for folder, message in (
        (sparse_encoder, "is an encoder of sparse vectors"),
        (tiny_encoder, "is an encoder of dense vectors"),
        (tiny_reranker, "is a model that scores pairs"),
        (tiny_encoder.parent / "tiny-bert", "is not a MultiVectorEncoder"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            MultiVectorReranker(folder)
    with pytest.raises(InvalidInputError, match="SparseEncoder"):
        reranker_of(sparse_encoder)
    with pytest.raises(InvalidInputError, match="is a model with a vector for each token"):
        Index.create(tmp_path / "index", encoder=late_reranker)
    own = shutil.copytree(late_reranker, tmp_path / "own")
    modules = json.loads((own / "modules.json").read_text())
    modules[1]["type"] = "own.Dense"
    (own / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(InvalidInputError, match="needs code of its own"):
        reranker_of(own)
    with pytest.raises(ModelNotFoundError):
        MultiVectorReranker(str(tmp_path / "nothing"))
    for arguments in ({"cache_mb": -1}, {"cache_dtype": "int8"}, {"query_prompt": 3}):
        with pytest.raises(InvalidInputError, match=next(iter(arguments))):
            MultiVectorReranker(late_reranker, **arguments)
    with pytest.raises(InvalidInputError, match="give a query and a text"):
        MultiVectorReranker(late_reranker).score([("a", 3)])
    reranker = MultiVectorReranker(late_reranker)
    with Index.create(tmp_path / "index", encoder=None) as index:
        index.add([Document("a", "bird")])
        searcher = Searcher(index, reranker)
        with pytest.raises(InvalidInputError, match="takes no instruction"):
            searcher.search("bird", instruction="be quick")
