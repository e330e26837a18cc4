"""The words of each language that has stems."""

from __future__ import annotations

import pytest

from rerank_search.retrieval.analysis import terms
from rerank_search.retrieval.analysis.known import CODES
from rerank_search.retrieval.analysis.stemmed import BY_CODE
from tests.asked import query_terms

SAME = [
    ("arabic", "المدرسة", "مدرسه"),
    ("arabic", "أحمد", "احمد"),
    ("danish", "børnene", "BØRN"),
    ("german", "Häuser", "Haus"),
    ("german", "schöner", "schoener"),
    ("german", "größere", "GRÖSSERE"),
    ("german", "fu\u0308r", "für"),
    ("greek", "λόγος", "ΛΟΓΟΥ"),
    ("spanish", "canción", "canciones"),
    ("spanish", "cancio\u0301n", "CANCIÓN"),
    ("finnish", "pöydällä", "PÖYDÄLLE"),
    ("french", "élèves", "eleve"),
    ("french", "cœurs", "coeur"),
    ("hungarian", "könyvek", "könyv"),
    ("italian", "città", "citta"),
    ("dutch", "katten", "kat"),
    ("norwegian", "jentene", "jente"),
    ("portuguese", "corações", "coraçoes"),
    ("romanian", "maşini", "mașini"),
    ("romanian", "mașini", "masini"),
    ("russian", "ёлки", "елка"),
    ("russian", "за\u0301мок", "замок"),
    ("swedish", "flickorna", "flicka"),
    ("tamil", "மரங்கள்", "மரங்கள்"),
    ("turkish", "IŞIKLAR", "ışık"),
    ("turkish", "İstanbul", "istanbul"),
    ("turkish", "I\u0307stanbul", "istanbul"),
]
"""Analyzer and two spellings or forms of a word. Some marks are written as escapes."""

DIFFERENT = [
    ("danish", "får", "far"),
    ("spanish", "año", "ano"),
    ("finnish", "näin", "nain"),
    ("hungarian", "kör", "kor"),
    ("russian", "йод", "иод"),
    ("swedish", "höra", "hora"),
    ("turkish", "ılık", "ilik"),
]
"""Words that only a letter with a mark, or a letter like it, tells apart."""


@pytest.mark.parametrize(("analyzer", "one", "other"), SAME)
def test_forms_of_a_word_are_one_term(analyzer: str, one: str, other: str) -> None:
    assert terms(analyzer, one) == terms(analyzer, other) != []


@pytest.mark.parametrize(("analyzer", "one", "other"), DIFFERENT)
def test_letters_of_the_alphabet_are_kept(analyzer: str, one: str, other: str) -> None:
    assert terms(analyzer, one) != terms(analyzer, other)


@pytest.mark.parametrize("code", CODES)
def test_the_code_of_a_language_names_its_analyzer(code: str) -> None:
    assert terms(code, "Istanbul 2024") == terms(BY_CODE[code].name, "Istanbul 2024")


def test_letters_of_other_languages_are_folded() -> None:
    assert terms("german", "Łódź café") == terms("german", "Lodz cafe")
    assert terms("turkish", "café Łódź") == terms("turkish", "cafe lodz")


def test_scripts_without_spaces_are_cut_in_every_language() -> None:
    assert query_terms("russian", "город 北京大学") == ["город", "北京", "京大", "大学"]
