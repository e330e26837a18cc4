"""Texts in several languages, each analysed in its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Literal

from rerank_search.retrieval.analysis import Words, terms
from rerank_search.retrieval.memory import MemoryRetriever

ENGLISH = "The houses of the old town are near the river, and they were built of stone."
GERMAN = "Die Häuser der alten Stadt stehen am Fluss und wurden aus Stein gebaut."
CHINESE = "老城的房子在河边，是用石头建造的。"
NUMBERS = "AX-4711 220V 50Hz"
TEXTS = [ENGLISH, GERMAN, CHINESE, NUMBERS]


def found(query: str) -> list[str]:
    return [hit.id for hit in MemoryRetriever(TEXTS, analyzer="auto").retrieve([query], 5)[0]]


def test_the_language_of_a_text_decides() -> None:
    marks = [terms("auto", text)[0] for text in TEXTS]
    assert marks == ["en:", "de:", "zh:", "mul:"]


def test_a_query_finds_forms_of_its_words_in_each_language() -> None:
    assert found("house") == ["0"]
    assert found("Haus") == ["1"]
    assert found("房子") == ["2"]
    assert found("ax 4711") == ["3"]


def test_a_name_is_found_in_all_languages() -> None:
    texts = [f"{text} Przewalski" for text in TEXTS]
    hits = MemoryRetriever(texts, analyzer="auto").retrieve(["przewalski"], 5)[0]
    assert {hit.id for hit in hits} == {"0", "1", "2", "3"}


def test_a_query_is_analysed_in_the_languages_of_the_documents() -> None:
    assert asked("Häuser", []) == set()
    assert asked("Häuser", [GERMAN]) == {"de:haus"}
    assert asked("Häuser", [GERMAN, f"{CHINESE} Hauser"]) == {"de:haus", "zh:hauser"}


def test_stop_words_of_each_language_are_left_out_of_a_query() -> None:
    english = f"{ENGLISH} Do not die there."
    assert asked("die Häuser", [english, GERMAN]) == {"en:die", "de:die", "de:haus"}
    assert asked("die Häuser", [english, GERMAN], "language") == {"en:die", "de:haus"}


def test_a_frequent_word_of_one_language_counts_little_among_others() -> None:
    texts = [GERMAN] * 50 + [CHINESE] * 150
    weights = Words("auto").of_query("die Häuser Fluss", frequencies(texts)).weighted
    assert max(weights.values()) < 0.3


def test_a_word_of_a_text_in_a_rare_language_counts_like_other_rare_words() -> None:
    texts = [f"{ENGLISH} Number {number}." for number in range(200)]
    retriever = MemoryRetriever([*texts, GERMAN], analyzer="auto")
    [[first, *_]] = retriever.retrieve(["the town at the Fluss"], 5)
    assert first.id == "200"


def test_a_few_texts_without_a_language_do_not_outrank_the_others() -> None:
    texts = [f"{ENGLISH} Number {number}." for number in range(40)]
    texts += ["The houses: 4711", "Old bridges near the river and of stone: these are the best."]
    [[first, *_]] = MemoryRetriever(texts, analyzer="auto").retrieve(["the bridges of stone"], 5)
    assert first.id == "41"


def test_a_repeated_word_counts_as_often_as_it_appears() -> None:
    words, counts = Words("auto"), frequencies(TEXTS)
    once = words.of_query("Häuser 房子", counts).weighted
    repeated = words.of_query("Häuser 房子, Häuser 房子 Häuser Häuser 房子房子", counts).weighted
    assert {term: round(repeated[term] / once[term]) for term in once} == {
        "de:haus": 4,
        "zh:房子": 4,
    }


def asked(query: str, texts: list[str], stop_words: Literal["language"] | None = None) -> set[str]:
    """The terms of a query to an index of these texts, as far as a text has them."""
    found = Words("auto", stop_words=stop_words).of_query(query, frequencies(texts))
    assert found.terms == []
    return {*found.weighted}


def frequencies(texts: list[str]) -> Callable[[str], int]:
    counts = Counter(term for text in texts for term in {*Words("auto").terms(text)})
    return lambda term: counts[term]
