"""Texts in several languages, each analysed in its own."""

from __future__ import annotations

from rerank_search.retrieval.analysis import Words
from rerank_search.retrieval.analysis.auto import chosen
from rerank_search.retrieval.memory import MemoryRetriever

ENGLISH = "The houses of the old town are near the river, and they were built of stone."
GERMAN = "Die Häuser der alten Stadt stehen am Fluss und wurden aus Stein gebaut."
CHINESE = "老城的房子在河边，是用石头建造的。"
NUMBERS = "AX-4711 220V 50Hz"
TEXTS = [ENGLISH, GERMAN, CHINESE, NUMBERS]


def found(query: str) -> list[str]:
    return [hit.id for hit in MemoryRetriever(TEXTS, analyzer="auto").retrieve([query], 5)[0]]


def test_the_language_of_a_text_decides() -> None:
    names = [chosen(text).name for text in TEXTS]
    assert names == ["english", "german", "multilingual", "multilingual"]


def test_a_query_finds_forms_of_its_words_in_each_language() -> None:
    assert found("house") == ["0"]
    assert found("Haus") == ["1"]
    assert found("房子") == ["2"]
    assert found("ax 4711") == ["3"]


def test_a_name_is_found_in_all_languages() -> None:
    texts = [f"{text} Przewalski" for text in TEXTS]
    hits = MemoryRetriever(texts, analyzer="auto").retrieve(["przewalski"], 5)[0]
    assert {hit.id for hit in hits} == {"0", "1", "2", "3"}


def test_a_query_is_analysed_as_the_documents_were() -> None:
    words = Words("auto")
    assert words.query_terms("Häuser") == []
    words.terms(GERMAN)
    assert words.query_terms("Häuser") == ["de:haus"]
    words.terms(CHINESE)
    assert words.query_terms("Häuser") == ["de:haus", "mul:hauser"]
    assert words.state() == {"analyzers": ["german", "multilingual"]}


def test_stop_words_of_each_language_are_left_out_of_a_query() -> None:
    words = Words("auto", used=["english", "german"])
    assert words.query_terms("die Häuser") == ["en:die", "en:hauser", "de:haus"]
    assert Words("auto", used=["german"], stop_words=()).query_terms("die") == ["de:die"]


def test_other_analyzers_record_nothing() -> None:
    words = Words("german")
    words.terms(GERMAN)
    assert words.state() == {}
