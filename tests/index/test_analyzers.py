"""Indexes in other languages and in several: their words survive whatever is done to them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerank_search import Document, Index
from rerank_search.errors import IndexFormatError, InvalidInputError
from rerank_search.index import Bm25Settings

GERMAN = Document("de", "Die Häuser der alten Stadt stehen am Fluss und wurden aus Stein gebaut.")
RUSSIAN = Document("ru", "Дома старого города стоят у реки, и они были построены из камня.")
THAI = Document("th", "บ้านในเมืองเก่าตั้งอยู่ริมแม่น้ำและสร้างด้วยหิน")
ENGLISH = Document("en", "The houses of the old town are near the river, and were built of stone.")
QUERIES = {"alte Häuser": "de", "старый дом": "ru", "แม่น้ำ": "th", "an old house": "en"}


@pytest.fixture(params=["tantivy", "bm25s"])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    engine = Bm25Settings(engine=request.param)
    with Index.create(tmp_path / "i", encoder=None, analyzer="auto", bm25=engine) as index:
        index.add([GERMAN, RUSSIAN, THAI])
        yield index


def found(index: Index, query: str) -> list[str]:
    return [hit.id for hit in index.retriever("bm25").retrieve([query], 10)[0]]


def check(index: Index) -> None:
    stored = {*index.ids()}
    for query, id in QUERIES.items():
        assert (found(index, query)[:1] == [id]) == (id in stored), query


def test_documents_are_found_in_their_languages(index: Index) -> None:
    check(index)
    assert index.verify() == []


def test_another_language_can_be_added(index: Index) -> None:
    index.add([ENGLISH])
    check(index)


def test_opened_again_it_finds_the_same(index: Index) -> None:
    index.close()
    with Index.open(index.path) as again:
        check(again)
        again.add([ENGLISH])
        check(again)


def test_a_reader_that_is_open_follows(index: Index) -> None:
    with Index.open(index.path, read_only=True) as reader:
        check(reader)
        index.add([ENGLISH])
        check(reader)


def test_deleting_rebuilding_and_compacting_keep_the_words(index: Index) -> None:
    index.add([ENGLISH])
    index.delete(["de"])
    check(index)
    index.compact()
    check(index)
    index.rebuild()
    check(index)


def test_a_document_can_change_its_language(index: Index) -> None:
    index.add([Document("de", ENGLISH.text)])
    assert found(index, "an old house") == ["de"]


def test_a_code_is_recorded_as_the_name_of_the_language(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=None, analyzer="de") as index:
        assert index.info().analyzer == "german"
        index.add([GERMAN])
        assert found(index, "Haus") == ["de"]


def test_an_analyzer_of_a_newer_version_is_refused(index: Index) -> None:
    index.close()
    manifest = index.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"auto"', '"elvish"'))
    with pytest.raises(IndexFormatError, match=r"elvish.*upgrade"):
        Index.open(index.path)


def test_stop_words_are_kept_with_the_index(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=None, stop_words=["House", "of"]) as index:
        index.add([ENGLISH, Document("other", "house of cards")])
    with Index.open(tmp_path / "i") as index:
        assert index.info().stop_words == ("House", "of")
        assert found(index, "house of stone") == ["en"]
        assert found(index, "house of") == ["other", "en"]


def test_an_index_without_stop_words_records_none(tmp_path: Path) -> None:
    with Index.create(tmp_path / "i", encoder=None):
        manifest = json.loads((tmp_path / "i" / "manifest.json").read_text())
        assert "stop_words" not in manifest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"analyzer": "klingon"}, "'klingon'.*german.*turkish"),
        ({"analyzer": "zh"}, "'zh'.*For any other language use 'multilingual'"),
        ({"analyzer": "greek", "stop_words": "language"}, "greek"),
        ({"stop_words": "the"}, "one string"),
        ({"stop_words": ["--"]}, "not a word"),
    ],
)
def test_an_unusable_setting_leaves_nothing(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Index.create(tmp_path / "i", encoder=None, **settings)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("analyzer", ["multilingual", "auto"])
def test_long_queries_and_texts_without_a_space_go_through(tmp_path: Path, analyzer: str) -> None:
    texts = [*(each.text for each in (GERMAN, RUSSIAN, THAI, ENGLISH)), "水" * 350_000, "a" * 10**6]
    with Index.create(tmp_path / "i", encoder=None, analyzer=analyzer, passages=None) as index:
        index.add(Document(str(place), text) for place, text in enumerate(texts))
        assert found(index, f"{GERMAN.text} " * 800)[0] == "0"
        assert found(index, "nothing " * 10_000) == []
        assert found(index, "a" * 10**6) == []


def test_a_text_of_two_directions_is_found_by_the_words_of_both(index: Index) -> None:
    index.add([Document("both", "\u202bالكتاب على الطاولة\u202c Przewalski 47")])
    for query in ("Przewalski", "كتاب", "47", "\u202bالطاولة\u202c"):
        assert found(index, query) == ["both"], query
