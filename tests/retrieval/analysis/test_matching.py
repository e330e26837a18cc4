"""Where in a text the words stand by which BM25 finds it."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.retrieval.analysis import QueryTerms, Words
from rerank_search.retrieval.analysis.known import NAMES

WORDS = st.sampled_from(
    [
        *(
            "boat",
            "Boats",
            "re\u0301sume\u0301",
            "résumé",
            "Häuser",
            "Haus",
            "so\u00adft",
            "İstanbul",
        ),
        *("getUserName", "user", "C++", ".NET", "e-mail", "don’t", "😀boat", "x\u200dy"),
        *(
            "北京大学",
            "水",
            "ｶﾞｽ",
            "한국어",
            "ภาษาไทย",
            "กำลัง",
            "کتاب",
            "كِتَاب",
            "हिन्दी",
            "за\u0301мок",
        ),
    ]
)
TEXTS = st.lists(WORDS | st.text(max_size=8), max_size=12).map(" ".join)


def asked(words: Words, query: str) -> QueryTerms:
    """The terms of a query to an index in which each term is rare."""
    return words.of_query(query, lambda term: 1)


def shown(words: Words, query: str, text: str) -> str:
    """The text with the matches in brackets."""
    [spans] = words.matches(asked(words, query), [text])
    for start, end in reversed(spans):
        text = f"{text[:start]}[{text[start:end]}]{text[end:]}"
    return text


@pytest.mark.parametrize(
    ("analyzer", "query", "expected"),
    [
        ("english", "joining paths", "[Join] two ([paths]), re-[joined], pathlib, a [path]'s end"),
        ("plain", "joining paths", "Join two ([paths]), re-joined"),
        ("plain", "resume", "[re\u0301sume\u0301], [Résumé]"),
        ("german", "Häuser", "Das [Haus]: [Häuser]-Reihe"),
        ("turkish", "ISPARTA", "[Isparta] isparta"),
        ("russian", "лодки", "[ло\u0301дка]😀[лодку]😀"),
        ("arabic", "كتاب", "هذا [الكتاب] جديد، [كِتَاب]"),
        ("multilingual", "ספר", "הנה [סֵפֶר] חדש"),
        ("multilingual", "हिन्दी", "[हिन्दी] में"),
        ("multilingual", "大学", "北京[大学]和清华[大学]的大楼iPhone[大学]"),
        ("multilingual", "東京都", "[東京都]の[京都]"),
        ("multilingual", "水", "[水]道[水]"),
        ("multilingual", "เด็ก", "[เด็ก]ๆ ไป"),
        ("multilingual", "한국어", "[한국어]를"),
        ("code", "C++", "([C++]), C, C#/[C++] and [C++]17"),
        ("code", "C", "C++, C# and [C]"),
        ("code", "get_user_name", "self.[getUserName](x) or [get] [user] [name]"),
        ("code", "email", "an [e-mail] and an [email]"),
        ("code", ".net", "the .[NET] runtime"),
    ],
)
def test_the_words_that_match_are_marked(analyzer: str, query: str, expected: str) -> None:
    text = expected.replace("[", "").replace("]", "")
    assert shown(Words(analyzer), query, text) == expected


def test_stop_words_are_not_marked() -> None:
    words = Words("english", stop_words="language")
    assert shown(words, "the boat", "the boat on the river") == "the [boat] on the river"


def test_auto_marks_words_by_the_languages_that_it_used() -> None:
    words = Words("auto")
    assert shown(words, "Häuser", "Das Haus am Meer") == "Das [Haus] am Meer"
    assert shown(words, "houses", "A house by the sea") == "A [house] by the sea"


def test_an_earlier_version_marks_by_its_own_words() -> None:
    assert shown(Words("plain", 1), "istanbul", "İstanbul istanbul") == "İstanbul [istanbul]"


def test_a_query_without_words_marks_nothing() -> None:
    assert Words("english").matches(QueryTerms([]), ["a boat?!", ""]) == [[], []]


@pytest.mark.parametrize("analyzer", ["english", "german", "multilingual", "code"])
@given(query=TEXTS, text=TEXTS)
def test_matches_are_parts_of_the_text_in_order_that_match(
    analyzer: str, query: str, text: str
) -> None:
    words = Words(analyzer)
    terms = asked(words, query)
    [spans] = words.matches(terms, [text])
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    for start, end in spans:
        assert {*terms.terms} & {*words.terms(text[start:end])}


@pytest.mark.parametrize("analyzer", ["english", "german", "multilingual", "code"])
@given(query=TEXTS, text=TEXTS)
def test_a_text_has_matches_if_bm25_finds_it(analyzer: str, query: str, text: str) -> None:
    words = Words(analyzer)
    terms = asked(words, query)
    [spans] = words.matches(terms, [text])
    assert bool(spans) == bool({*terms.terms} & {*words.terms(text)})


@pytest.mark.parametrize("analyzer", [name for name in NAMES if name != "auto"])
def test_a_letter_is_marked_with_its_marks(analyzer: str) -> None:
    text = "ภาษาไทยแลนด์ก็ กำลัง हिन्दी re\u0301sume\u0301"
    for query in ("ไทย", "แลนด", "हिन्दी", "resume", text):
        words = Words(analyzer)
        [spans] = words.matches(asked(words, query), [text])
        for start, end in spans:
            assert unicodedata.category(text[start])[0] != "M"
            assert end == len(text) or unicodedata.category(text[end])[0] != "M"
