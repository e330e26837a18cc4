"""The languages of an index's documents: the warning about English models, and what is fused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from rerank_search import Document, Index, Searcher
from rerank_search.reranking.fusion import Fusion, Weights
from tests.retrieval.test_encoders import WordCounts

GERMAN = (
    "Die alte Brücke über den Fluss war zwei Jahre gesperrt, weil die Steine locker waren.",
    "Wenn Sie kündigen möchten, schreiben Sie uns mindestens einen Monat vor dem Ende.",
    "Sie sagte, dass sie noch nie so viele Vögel an einem Ort gesehen habe.",
)
ENGLISH = (
    "The old bridge across the river was closed for two years, because stones were loose.",
    "If you want to cancel, write to us at least one month before the end.",
    "She said that she had never seen so many birds in one place.",
)
CODE = "for (int i = 0; i < n; ++i) { sum += values[i]; }"


class EnglishEncoder(WordCounts):
    """An encoder with the name of a model that is known to be made for English."""

    name = "BAAI/bge-small-en-v1.5"


class Lengths:
    """A reranker with a fusion that has weights with and without the cosine."""

    name = "lengths"
    fusion = Fusion(
        [
            Weights(0.0, {"rerank": 0.0, "bm25:z": 1.0, "dense:z": 9.0}),
            Weights(0.0, {"rerank": 0.0, "bm25:z": 1.0}),
        ]
    )

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], np.float32)


def documents(texts, count, start=0):
    return [Document(f"d{i}", f"{texts[i % len(texts)]} {i}") for i in range(start, start + count)]


@pytest.fixture
def words_only(tmp_path: Path):
    with Index.create(tmp_path / "words", encoder=None) as index:
        yield index


@pytest.fixture
def with_vectors(tmp_path: Path):
    with Index.create(tmp_path / "index", encoder=EnglishEncoder(), analyzer="german") as index:
        yield index


def test_german_documents_are_warned_about_once(words_only: Index, caplog) -> None:
    words_only.add(documents(GERMAN, 4))
    assert caplog.messages == []
    words_only.add(documents(GERMAN, 4, start=4))
    [warning] = caplog.messages
    assert caplog.records[0].levelno == logging.WARNING
    assert "8 de" in warning
    assert "analyzer='german'" in warning
    assert "the default reranker rerank-search-base" in warning
    assert "encoder" not in warning
    words_only.add(documents(GERMAN, 40, start=8))
    with Index.open(words_only.path) as again:
        again.add(documents(GERMAN, 80, start=48))
        again.rebuild()
    assert len(caplog.messages) == 1


def test_of_many_languages_the_most_frequent_are_named(words_only: Index, caplog) -> None:
    others = [
        *(
            "東京の図書館は日曜日に閉まります。",
            "图书馆星期天关门。",
            "도서관은 일요일에 닫습니다.",
        ),
        *("ห้องสมุดปิดวันอาทิตย์", "Η βιβλιοθήκη είναι κλειστή.", "הספרייה סגורה היום"),
    ]
    words_only.add(documents([*GERMAN, *others], 9))
    assert "(of 9 looked at: 3 de, 1 ja, 1 zh, 1 ko, 1 th, and 2 more languages)" in caplog.text


def test_several_languages_get_the_analyzer_for_several(words_only: Index, caplog) -> None:
    words_only.add([*documents(ENGLISH, 8), *documents(GERMAN, 10, start=8)])
    assert "analyzer='auto'" in caplog.text


def test_an_encoder_for_english_is_named(with_vectors: Index, caplog) -> None:
    with_vectors.add(documents(GERMAN, 8))
    [warning] = caplog.messages
    assert "the encoder BAAI/bge-small-en-v1.5" in warning
    assert "analyzer" not in warning


def test_a_language_without_an_analyzer_of_its_own_gets_the_multilingual_one(
    words_only: Index, caplog
) -> None:
    words_only.add(documents(["在海边哪里可以找到便宜的房间？"], 8))
    assert "analyzer='multilingual'" in caplog.text


def test_nothing_for_english_is_nothing_to_warn_about(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("RERANK_SEARCH_RERANKER", "BAAI/bge-reranker-v2-m3")
    with Index.create(tmp_path / "index", encoder=WordCounts(), analyzer="german") as index:
        index.add(documents(GERMAN, 8))
    assert caplog.messages == []


@pytest.mark.parametrize(
    "texts",
    [[*ENGLISH, *ENGLISH, *GERMAN], [CODE], ["4711 0815", "42"], [""], [*GERMAN, *[CODE] * 4]],
    ids=["a third is German", "code", "numbers", "empty", "mostly code"],
)
def test_others_are_not_warned_about(words_only: Index, texts, caplog) -> None:
    words_only.add(documents(texts, 18))
    assert caplog.messages == []


def test_languages_are_counted_in_a_sample_that_is_spread_over_the_index(
    words_only: Index,
) -> None:
    assert words_only.info().languages == {}
    words_only.add([*documents(ENGLISH, 200), *documents(GERMAN, 100, start=200)])
    languages = words_only.info().languages
    assert [*languages] == ["en", "de"]
    assert sum(languages.values()) <= 64
    assert 1.5 < languages["en"] / languages["de"] < 2.5


def test_the_sample_follows_documents_that_go(words_only: Index) -> None:
    words_only.add([*documents(ENGLISH, 20), *documents(GERMAN, 20, start=20)])
    words_only.delete(f"d{i}" for i in range(20))
    assert words_only.info().languages == {"de": 20}
    words_only.delete([*words_only.ids()])
    assert words_only.info().languages == {}


def test_vectors_of_an_encoder_for_english_count_only_for_english(with_vectors: Index) -> None:
    with_vectors.add(documents(ENGLISH, 10))
    assert with_vectors.first_stages == ("bm25", "dense", "hybrid")
    assert with_vectors.fused_stages == with_vectors.first_stages
    with_vectors.add(documents(GERMAN, 20, start=10))
    assert with_vectors.first_stages == ("dense", "hybrid", "bm25")
    assert with_vectors.fused_stages == ("bm25",)
    assert with_vectors.info().first_stages == with_vectors.first_stages


def test_vectors_of_other_encoders_always_count(tmp_path: Path) -> None:
    with Index.create(tmp_path / "index", encoder=WordCounts()) as index:
        index.add(documents(GERMAN, 20))
        assert index.first_stages == index.fused_stages == ("bm25", "dense", "hybrid")


def test_a_searcher_does_not_weigh_what_cannot_be_read(with_vectors: Index) -> None:
    with_vectors.add(documents(GERMAN, 20))
    searcher = Searcher(with_vectors, Lengths())
    assert "fusion=['bm25', 'rerank']" in repr(searcher)
    response = searcher.search("Vögel an einem Ort")
    assert response.first_stage == "bm25"
    assert "dense" not in response.hits[0].stage_scores
    named = searcher.search("Vögel an einem Ort", first_stage="hybrid")
    assert named.first_stage == "hybrid"
    given = Searcher(with_vectors, Lengths(), fusion=Lengths.fusion)
    assert "fusion=['bm25', 'dense', 'rerank']" in repr(given)


def test_a_searcher_follows_the_documents(with_vectors: Index) -> None:
    searcher = Searcher(with_vectors, Lengths())
    assert "fusion=['bm25', 'dense', 'rerank']" in repr(searcher)
    with Index.open(with_vectors.path, encoder=EnglishEncoder()) as other:
        other.add(documents(GERMAN, 20))
    assert "fusion=['bm25', 'rerank']" in repr(searcher)
    assert searcher.search("Vögel").first_stage == "bm25"


def test_an_index_of_an_earlier_version_is_searched_as_before(with_vectors: Index) -> None:
    with_vectors.add(documents(GERMAN, 20))
    manifest = with_vectors.path / "manifest.json"
    sample = '"languages": {\n   "documents": 20,\n   "sampled": 20,\n   "found": {\n    "de": 20'
    text = manifest.read_text()
    assert sample in text
    before = text[: text.index(sample)].rstrip().rstrip(",")
    manifest.write_text(before + "\n }\n}\n")
    with Index.open(with_vectors.path, encoder=EnglishEncoder()) as again:
        assert again.first_stages == ("bm25", "dense", "hybrid")
        assert again.info().languages == {}
