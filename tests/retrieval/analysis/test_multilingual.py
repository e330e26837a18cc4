"""Words of texts whose language is not known."""

from __future__ import annotations

import pytest

from rerank_search.retrieval.analysis import terms
from tests.asked import query_terms

RUNS = [
    ("北京大学", ["北京", "京大", "大学"]),
    ("北京，大学", ["北京", "大学"]),
    ("食べる", ["食べ", "べる"]),
    ("コンビニ", ["コン", "ンビ", "ビニ"]),
    ("ｺﾝﾋﾞﾆ", ["コン", "ンビ", "ビニ"]),
    ("한국어를 배우다", ["한국", "국어", "어를", "배우", "우다"]),
    ("水", ["水"]),
    ("H₂Oと水", ["h2o", "と水"]),
    ("Python入門2024", ["python", "入門", "2024"]),
    ("ยาแก้", ["ยาแ", "าแก", "แก้"]),
    ("ยา", ["ยา"]),
    ("ສະບາຍ", ["ສະບ", "ະບາ", "ບາຍ"]),
    ("မြန်", ["မြန", "ြန်"]),
    ("ខ្មែរ", ["ខ្ម", "្មែ", "មែរ"]),
    ("Straße ÉCOLE Łódź", ["strasse", "ecole", "lodz"]),
    ("мой мои", ["мой", "мои"]),
]
"""A text, and the terms of a query of it."""


@pytest.mark.parametrize(("text", "expected"), RUNS)
def test_words_of_a_query(text: str, expected: list[str]) -> None:
    assert query_terms("multilingual", text) == expected


@pytest.mark.parametrize("text", [text for text, _ in RUNS])
def test_a_document_has_all_terms_of_a_query_of_its_text(text: str) -> None:
    assert {*query_terms("multilingual", text)} <= {*terms("multilingual", text)}


@pytest.mark.parametrize(
    ("document", "query"),
    [("水道水を飲む", "水"), ("東京都", "都"), ("ฉันกินยา", "ยา"), ("가게에서", "가")],
)
def test_a_short_word_is_found_inside_a_clause(document: str, query: str) -> None:
    assert {*query_terms("multilingual", query)} <= {*terms("multilingual", document)}
